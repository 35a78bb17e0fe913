"""A whole scan through the sliding window, with networks whose answer is known."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from nnunet_case import TEST, centreline, tiny, volume, write_inputs

from spinalroots.dataset.layout import FOREGROUND, UNTRAINED, Dataset
from spinalroots.errors import InputError
from spinalroots.files import read_json, write_json
from spinalroots.files.listing import LIST
from spinalroots.imaging.boxes import centreline_box
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, read_labels, write_volume
from spinalroots.inference.predictor import torch_runner
from spinalroots.inference.stored import load_network, save_weights
from spinalroots.nnunet.network import Ensemble, build_network
from spinalroots.nnunet.predictor import NnunetPredictor
from spinalroots.predict.trained import TrainedModel
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme, individuals_to_levels
from spinalroots.registry.models import MODELS
from spinalroots.settings.inference import NnunetInference
from spinalroots.stages import predict_nnunet, prepare_nnunet, train_nnunet

ROW = "all-levels"
INFERENCE = NnunetInference(tile_step=0.5, tiles_at_once=2, margin_mm=30.0, decoding="entity_first")


@pytest.fixture(scope="module")
def project(tmp_path_factory, smoke_params):
    """A trained (if hardly) row in a temporary folder."""
    root = tmp_path_factory.mktemp("project")
    write_inputs(root)
    (root / "dvc.yaml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        patch.delenv("DVC_ROOT", raising=False)
        params = tiny(smoke_params, epochs=1, iterations=1)
        prepare_nnunet.main(params, ROW)
        train_nnunet.main(params, ROW)
    return root


@pytest.fixture
def predictor(project) -> NnunetPredictor:
    return NnunetPredictor.load(project / paths.TRAINED / f"nnunet-{ROW}", "cpu", INFERENCE)


def by_brightness(batch: np.ndarray) -> np.ndarray:
    """A network that calls every bright voxel T11 (class 2) and is sure of it."""
    logits = np.full((len(batch), 12, *batch.shape[2:]), -20, np.float32)
    logits[:, 0] = 0
    logits[:, 2] = np.where(batch[:, 0] > 2.5, 20, -20)
    return logits


def test_a_runner_that_sees_the_roots_gives_the_roots_back(predictor):
    scan, truth = volume(3)
    prediction = predictor.predict(scan, centreline(), by_brightness)
    assert np.array_equal(prediction.labels.data > 0, truth.data > 0)
    assert set(np.unique(prediction.labels.data)) == {0, predictor.target.values[1]}
    assert np.array_equal(prediction.foreground.data > 0.5, truth.data > 0)


def test_axes_flips_and_another_spacing_come_back_to_the_scan_grid(predictor):
    scan, truth = volume(3)
    coarse = Volume(scan.data, scan.affine @ np.diag([1.1, 0.95, 1.15, 1]))
    labels = predictor.predict(coarse, centreline(), by_brightness).labels
    assert labels.data.shape == coarse.data.shape
    inside = labels.data > 0
    overlap = 2 * (inside & (truth.data > 0)).sum() / (inside.sum() + (truth.data > 0).sum())
    assert overlap > 0.8


def test_inputs_are_what_the_runner_is_given(predictor):
    scan, _ = volume(3)
    seen = []

    def watching(batch):
        assert len(batch) <= INFERENCE.tiles_at_once
        seen.extend(batch)
        return by_brightness(batch)

    predictor.predict(scan, centreline(), watching)
    given = list(predictor.inputs(scan, centreline()))
    assert all(tile.shape == predictor.input_shape for tile in given)
    assert np.array_equal(np.stack(seen), np.stack(given))


def test_nothing_is_said_beyond_the_margin(project):
    narrow = INFERENCE.model_copy(update={"margin_mm": 2.0})
    predictor = NnunetPredictor.load(project / paths.TRAINED / f"nnunet-{ROW}", "cpu", narrow)
    scan, _ = volume(3)
    box = centreline_box(centreline(), scan.grid, 2.0 / scan.spacing_mm[:2])
    labels = predictor.predict(
        scan, centreline(), lambda batch: by_brightness(np.full_like(batch, 9))
    ).labels.data
    outside = np.ones(labels.shape, bool)
    outside[box] = False
    assert not labels[outside].any()
    assert labels[box].any()


def test_a_centreline_beside_the_scan_gives_background_everywhere(predictor):
    scan, _ = volume(3)
    away = Centreline(np.add(centreline().points_mm, (500, 0, 0)), "image")
    prediction = predictor.predict(scan, away, by_brightness)
    assert not prediction.labels.data.any()
    assert prediction.foreground.data.max() < 1e-6


def test_a_model_of_another_format_is_refused(project, tmp_path):
    folder = shutil.copytree(project / paths.TRAINED / f"nnunet-{ROW}", tmp_path / "model")
    write_json(folder / "model.json", {**read_json(folder / "model.json"), "format": 99})
    with pytest.raises(InputError, match="expected an nnU-Net of format 2, found format 99"):
        NnunetPredictor.load(folder, "cpu", INFERENCE)


def test_published_weights_come_back_and_bear_no_pickle(project, predictor, tmp_path):
    folder = project / paths.TRAINED / f"nnunet-{ROW}"
    assert sorted(path.name for path in folder.iterdir() if path.name != LIST) == [
        "model.json",
        "model.safetensors",
        "training.json",
    ]
    again = TrainedModel(folder, INFERENCE).predictor()
    x = torch.randn(1, *predictor.input_shape)
    with torch.inference_mode():
        assert torch.equal(again.network(x), predictor.network(x))
    assert again.name == f"nnunet-{ROW}"
    assert set(read_json(folder / "model.json")["trained_on"]["training"]).isdisjoint(TEST)


def test_weights_of_another_network_are_refused(predictor, tmp_path):
    other = build_network(predictor.plans, predictor.configuration, classes=3)
    save_weights(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="pull the model folder"):
        load_network(
            lambda: build_network(predictor.plans, predictor.configuration, classes=4),
            tmp_path / "other.safetensors",
        )


def test_an_ensemble_is_the_mean_of_its_logits(predictor):
    networks = [build_network(predictor.plans, predictor.configuration, 4) for _ in range(3)]
    x = torch.randn(1, *predictor.input_shape)
    with torch.inference_mode():
        mean = torch.stack([network(x) for network in networks]).mean(0)
        assert torch.allclose(Ensemble(networks)(x), mean, atol=1e-5)
    assert torch_runner(Ensemble(networks))(x.numpy()).shape == (1, 4, *x.shape[2:])


def test_the_stage_writes_maps_on_the_native_grid(project, monkeypatch, smoke_params):
    monkeypatch.chdir(project)
    scan_path = Dataset(project / "data" / "raw" / "phantom").image(TEST[0])
    scan = read_image(scan_path)
    flipped = Volume(scan.data[::-1].transpose(2, 0, 1), scan.affine[:, [2, 0, 1, 3]].copy())
    flipped.affine[:3, 1] *= -1
    flipped.affine[:3, 3] += scan.affine[:3, 0] * (scan.data.shape[0] - 1)
    write_volume(scan_path, flipped)
    predict_nnunet.main(tiny(smoke_params), ROW)
    written = Dataset(project / "data" / "predictions" / f"nnunet-{ROW}")
    labels = read_labels(written.labels(TEST[0], Scheme.LEVELS))
    probability = read_image(written.map(TEST[0], FOREGROUND))
    untrained = read_labels(written.map(TEST[0], UNTRAINED))
    native = read_image(scan_path).native
    assert labels.native.matches(native)
    assert untrained.native.matches(native)
    assert not np.array_equal(untrained.data, labels.data)
    assert probability.native.matches(native)
    assert 0 <= probability.data.min() <= probability.data.max() <= 1
    assert set(np.unique(labels.data)) <= {0, *MODELS[f"nnunet-{ROW}"].target().values}


def test_without_a_centreline_the_stage_says_which_stage_to_run(project, monkeypatch, smoke_params):
    monkeypatch.chdir(project)
    (project / "data" / "centreline" / "raw" / f"{TEST[0]}.json").rename(project / "away.json")
    try:
        with pytest.raises(InputError, match="`centreline`"):
            predict_nnunet.main(tiny(smoke_params), ROW)
    finally:
        (project / "away.json").rename(project / "data" / "centreline" / "raw" / f"{TEST[0]}.json")


def test_a_few_batches_already_beat_chance_on_bright_tubes(project, monkeypatch, smoke_params):
    """Learns at all: roots are told from nearly all of the background."""
    monkeypatch.chdir(project)
    params = tiny(smoke_params, epochs=2, iterations=15, learning_rate=0.02)
    train_nnunet.main(params, ROW)
    trained = NnunetPredictor.load(project / paths.TRAINED / f"nnunet-{ROW}", "cpu", INFERENCE)
    scan, truth = volume(3)
    roots = individuals_to_levels(truth.data) > 0
    foreground = trained.predict(scan, centreline()).foreground.data
    assert (foreground[roots] > np.quantile(foreground[~roots], 0.95)).mean() > 0.8
