"""HarDNet's blocks against the published rule, written down naively, and published sizes."""

from __future__ import annotations

import pytest
import torch
from published_hardnets import BACKBONES, FcHardnet70, classifier, parameter_count

from spinalroots.hardnet.network.blocks import HarDBlock, kept, links, width


def naive_links(layer: int) -> list[int]:
    """Layer l reads l - 2^i for every i with 2^i | l: the rule, tried for every i."""
    return [layer - 2**i for i in range(20) if layer % 2**i == 0 and layer - 2**i >= 0]


def naive_block(block: HarDBlock, layers: int, x: torch.Tensor) -> torch.Tensor:
    """The whole graph kept in memory, wired edge by edge from the rule."""
    values = {0: x}
    for layer in range(1, layers + 1):
        inputs = [values[source] for source in naive_links(layer)]
        values[layer] = block.layers[layer - 1](torch.cat(inputs, dim=1))
    return torch.cat([values[n] for n in range(1, layers + 1) if n % 2 == 1 or n == layers], dim=1)


def test_links_follow_the_published_examples():
    assert links(8) == (7, 6, 4, 0)
    assert links(12) == (11, 10, 8)
    assert all(list(links(layer)) == naive_links(layer) for layer in range(1, 65))


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("layers", [2, 4, 7, 8, 16])
def test_block_equals_a_naive_graph_in_2d_and_3d(dim, layers):
    torch.manual_seed(0)
    block = HarDBlock(dim, 6, growth=6, multiplier=1.7, layers=layers).eval()
    x = torch.randn(2, 6, *(5,) * dim)
    result = block(x)
    assert torch.equal(result, naive_block(block, layers, x))
    assert result.shape == (2, block.channels_out, *(5,) * dim)


@pytest.mark.parametrize(
    ("growth", "layers", "multiplier", "out"),
    [
        (14, 8, 1.7, 124),
        (16, 16, 1.7, 262),
        (160, 4, 1.7, 782),
        (64, 8, 1.6, 518),
        (10, 4, 1.7, 48),
    ],
)
def test_block_width_is_the_published_one(growth, layers, multiplier, out):
    assert sum(width(layer, growth, multiplier) for layer in kept(layers)) == out


@pytest.mark.parametrize(("name", "millions"), [("68", 17.57), ("85", 36.67), ("39DS", 3.49)])
def test_classifiers_have_the_published_number_of_parameters(name, millions):
    with torch.device("meta"):
        network = classifier(name)
    assert parameter_count(network) / 1e6 == pytest.approx(millions, abs=0.005)


def test_fc_hardnet_70_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = FcHardnet70()
    assert parameter_count(network) / 1e6 == pytest.approx(4.12, abs=0.005)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_transitions_read_the_published_block_widths(name):
    published = {
        "68": [124, 262, 328, 654, 782],
        "85": [214, 392, 458, 588, 784, 1252],
        "39DS": [72, 292, 518, 730],
    }
    with torch.device("meta"):
        blocks = [part for part in classifier(name) if isinstance(part, HarDBlock)]
    assert [block.channels_out for block in blocks] == published[name]


def test_every_tensor_of_a_block_is_freed_after_its_last_reader():
    block = HarDBlock(2, 4, growth=4, multiplier=1.7, layers=8)
    for source, reader in block._last_reader.items():
        assert source in naive_links(reader)
        assert all(source not in naive_links(later) for later in range(reader + 1, 9))
