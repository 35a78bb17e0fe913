"""The segmentation network: shapes, switches that must not change results, and the way to JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import get_args

import pytest
import torch
from published_hardnets import parameter_count
from pydantic import TypeAdapter

from spinalroots.errors import InputError
from spinalroots.hardnet.network import segmentation as network_module
from spinalroots.hardnet.network.segmentation import (
    PRESETS,
    NetworkConfig,
    SegmentationHardnet,
)
from spinalroots.settings.hardnet import Preset


def config(dim=3, preset="tiny", **options):
    return NetworkConfig.of(preset, dim=dim, channels=1, classes=5, width=0.5, **options)


def image(settings: NetworkConfig, batch=2):
    torch.manual_seed(1)
    return torch.randn(batch, settings.channels, *(2 * length for length in settings.divisors))


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("stem", [1, 2])
def test_logits_lie_on_the_grid_of_the_input(dim, stem):
    settings = config(dim, in_plane_stem_stride=stem)
    x = image(settings)
    assert SegmentationHardnet(settings)(x).shape == (2, 5, *x.shape[2:])


@pytest.mark.parametrize(("dim", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_laying_out_gradients_changes_their_layout_only(dim, layout, monkeypatch):
    settings = config(dim)

    def gradients():
        torch.manual_seed(0)
        model = SegmentationHardnet(settings).to(memory_format=layout)
        model(image(settings).contiguous(memory_format=layout)).square().mean().backward()
        return [parameter.grad for parameter in model.parameters()]

    laid_out = gradients()
    monkeypatch.setattr(network_module, "_like", lambda tensor: lambda gradient: gradient)
    for one, other in zip(laid_out, gradients(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_one_voxel_thread_reaches_the_output_through_the_stem():
    settings = config()
    network = SegmentationHardnet(settings).eval()
    x = torch.zeros(1, 1, *(2 * length for length in settings.divisors))
    thread = x.clone()
    thread[0, 0, 7, 9, :] = 1
    moved = x.clone()
    moved[0, 0, 8, 9, :] = 1
    assert not torch.allclose(network(thread), network(moved), atol=1e-6)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("dim", [2, 3])
def test_every_preset_builds_in_2d_and_3d(preset, dim):
    with torch.device("meta"):
        network = SegmentationHardnet(NetworkConfig.of(preset, dim=dim, channels=1, classes=12))
    assert parameter_count(network) > 0


def test_presets_grow_from_tiny_to_68():
    counts = []
    for preset in ("tiny", "small", "base", "70", "68"):
        with torch.device("meta"):
            network = SegmentationHardnet(NetworkConfig.of(preset, dim=2, channels=1, classes=12))
        counts.append(parameter_count(network))
    assert counts == sorted(counts)


@pytest.mark.parametrize("dim", [2, 3])
def test_checkpointing_changes_neither_loss_nor_gradients(dim):
    settings = config(dim)
    plain = SegmentationHardnet(settings)
    saving = SegmentationHardnet(settings, checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    x = image(settings)
    for network in (plain, saving):
        network(x).square().mean().backward()
    pairs = zip(plain.parameters(), saving.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-6) for a, b in pairs)


@pytest.mark.parametrize("dim", [2, 3])
def test_channels_last_changes_the_layout_not_the_result(dim):
    settings = config(dim)
    network = SegmentationHardnet(settings).eval()
    x = image(settings)
    layout = torch.channels_last if dim == 2 else torch.channels_last_3d
    expected = network(x)
    result = network.to(memory_format=layout)(x.contiguous(memory_format=layout))
    assert torch.allclose(expected, result, atol=1e-4)


def test_deep_supervision_adds_coarser_logits_while_training_only():
    settings = config(deep_supervision=True)
    network = SegmentationHardnet(settings)
    x = image(settings)
    outputs = network(x)
    sizes = [tuple(logits.shape[2:]) for logits in outputs]
    assert sizes[0] == tuple(x.shape[2:])
    assert len(sizes) == 3
    assert [size[0] for size in sizes] == [x.shape[2] // step for step in (1, 2, 4)]
    assert network.eval()(x).shape == (2, 5, *x.shape[2:])


def test_config_survives_json():
    settings = config(in_plane_stem_stride=2, deep_supervision=True)
    assert TypeAdapter(NetworkConfig).validate_json(json.dumps(asdict(settings))) == settings


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(InputError, match="tiny, small"):
        config(preset="huge")


def test_the_presets_of_the_parameters_are_those_that_the_network_has():
    assert list(get_args(get_args(Preset)[0])) == list(PRESETS)
