"""Inference: windows that cover everything, labels on the scan's grid, models without pickles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinalroots.errors import InputError
from spinalroots.hardnet.data.landmark import Heights
from spinalroots.hardnet.data.straighten import GreyValues, InputSpec, Stack
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.hardnet.predictor import HardnetPredictor, input_shape
from spinalroots.hardnet.windows import probabilities, starts
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import HardnetInference

TARGET = Target.of("levels", "sacral")
INFERENCE = HardnetInference(decoding="entity_first", overlap=0.5, mirroring=False)


def predictor(dim: int, spec: InputSpec, neighbours: int = 2) -> HardnetPredictor:
    torch.manual_seed(0)
    channels = 2 if dim == 3 else 2 * neighbours + 2
    config = NetworkConfig.of("tiny", dim=dim, channels=channels, classes=4, width=0.5)
    network = SegmentationHardnet(config).eval()
    shape = input_shape(config, spec, 8)
    return HardnetPredictor("test", TARGET, network, shape, spec, INFERENCE)


def scan(shape=(40, 36, 30)) -> tuple[Volume, Centreline]:
    data = np.random.default_rng(0).random(shape, np.float32)
    heights = np.arange(shape[2], dtype=float)
    points = np.stack([18 + heights / 6, 20 - heights / 8, heights], axis=1)
    return Volume(data, np.eye(4)), Centreline(points, "test")


def by_darkness(batch: np.ndarray) -> np.ndarray:
    """A runner that needs no weights: S1 where the middle grey value is below 0.3."""
    middle = batch[:, (batch.shape[1] - 1) // 2]
    logits = np.zeros((len(batch), 4, *middle.shape[1:]), np.float32)
    logits[:, 0] = 20 * (middle >= 0.3)
    logits[:, 1] = 20 * (middle < 0.3)
    return logits


@pytest.mark.parametrize("length", [3, 8, 9, 21, 40])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_windows_cover_every_slice_and_overlap_as_asked(length, overlap):
    found = starts(length, 8, overlap)
    covered = {index for start in found for index in range(start, start + 8)}
    assert set(range(length)) <= covered
    assert max(found) <= max(0, length - 8)
    assert max(np.diff(found), default=0) <= 8 * (1 - overlap)


@pytest.mark.parametrize("shape", [(5, 16, 16), (2, 16, 16, 8), (1, 16, 16, 8)])
def test_overlapping_windows_give_what_a_voxelwise_network_gives_at_once(shape):
    image = np.random.default_rng(1).random((13, 13, 21), np.float32)
    stack = Stack(image, np.zeros(21, np.float32))
    chances = probabilities(stack, by_darkness, 4, shape, overlap=0.5, batch=3)
    assert chances.shape == (4, 13, 13, 21)
    assert np.allclose(chances.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(chances[1] > 0.5, image < 0.3)


def test_mirroring_averages_with_the_mirrored_answer():
    def leaning(batch: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(batch), 2, *batch.shape[2:]), np.float32)
        logits[:, 1, :8] = 30
        logits[:, 0, 8:] = 30
        return logits

    stack = Stack(np.ones((16, 16, 4), np.float32), np.zeros(4, np.float32))
    chances = probabilities(stack, leaning, 2, (1, 16, 16), mirroring=True)
    assert np.allclose(chances, 0.5, atol=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
def test_labels_lie_on_the_scans_grid_inside_the_squares(dim):
    volume, line = scan()
    model = predictor(dim, InputSpec(16.0, 1.0))
    found = model.predict(volume, line, by_darkness)
    assert found.labels.data.shape == volume.data.shape
    assert found.labels.data.dtype == np.uint8
    assert set(np.unique(found.labels.data)) <= {0, *TARGET.values}
    middle = line.in_slices(volume.grid)
    marked = np.argwhere(found.labels.data > 0)
    assert len(marked) > 100
    assert np.abs(marked[:, :2] - middle[marked[:, 2]]).max() <= 9
    assert np.array_equal(found.labels.data > 0, found.foreground.data > 0.5)


@pytest.mark.parametrize("dim", [2, 3])
def test_inputs_are_what_predict_feeds_the_network(dim):
    volume, line = scan()
    model = predictor(dim, InputSpec(16.0, 1.0))
    fed: list[np.ndarray] = []

    def listening(batch: np.ndarray) -> np.ndarray:
        fed.extend(batch)
        return by_darkness(batch)

    model.predict(volume, line, listening)
    inputs = list(model.inputs(volume, line))
    assert all(tile.shape == model.input_shape for tile in inputs)
    assert all(np.array_equal(a, b) for a, b in zip(fed, inputs, strict=True))


def test_a_saved_model_is_rebuilt_from_json_and_safetensors_alone(tmp_path):
    volume, line = scan()
    model = predictor(2, InputSpec(16.0, 1.2, 1.5))
    model.save(tmp_path / "model", trained_on={"cases": ["sub-01"]})
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "model.json",
        "model.safetensors",
    }
    again = HardnetPredictor.load(tmp_path / "model", inference=INFERENCE)
    one, two = model.predict(volume, line), again.predict(volume, line)
    assert np.array_equal(one.foreground.data, two.foreground.data)
    assert again.input_shape == model.input_shape
    assert not again.network.training


def test_weights_of_another_network_are_refused_with_a_way_out(tmp_path):
    spec = InputSpec(16.0, 1.0)
    predictor(2, spec).save(tmp_path / "one")
    predictor(2, spec, neighbours=3).save(tmp_path / "two")
    (tmp_path / "one" / "model.safetensors").write_bytes(
        (tmp_path / "two" / "model.safetensors").read_bytes()
    )
    with pytest.raises(InputError, match="Restore both files"):
        HardnetPredictor.load(tmp_path / "one")


def test_a_model_scales_by_its_own_numbers_whatever_todays_defaults_are(tmp_path):
    volume, line = scan()
    spec = InputSpec(
        16.0, 1.0, None, GreyValues(5.0, (10.0, 80.0), (-0.5, 0.9)), heights=Heights(limit=0.2)
    )
    predictor(2, spec).save(tmp_path / "model")
    again = HardnetPredictor.load(tmp_path / "model", inference=INFERENCE)
    assert again.spec == spec
    inputs = np.stack(list(again.inputs(volume, line)))
    assert inputs[:, :-1].max() == pytest.approx(0.9)
    assert inputs[:, -1].max() == pytest.approx(0.2)


def test_how_to_segment_is_the_models_own_word_unless_somebody_says_otherwise(tmp_path):
    predictor(2, InputSpec(16.0, 1.0)).save(
        tmp_path / "model", inference={"decoding": "argmax", "overlap": 0.25, "mirroring": True}
    )
    assert HardnetPredictor.load(tmp_path / "model").inference.overlap == 0.25
    asked = HardnetPredictor.load(tmp_path / "model", inference=INFERENCE)
    assert asked.inference == INFERENCE


def test_a_model_of_another_format_is_refused_with_a_way_out(tmp_path):
    predictor(2, InputSpec(16.0, 1.0)).save(tmp_path / "model", format=99)
    with pytest.raises(InputError, match="expected a HarDNet of format 2, found format 99"):
        HardnetPredictor.load(tmp_path / "model", inference=INFERENCE)
