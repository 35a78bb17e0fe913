"""One patient's scan through `predict`, with a stub for the network: what is written, and when."""

import json
import multiprocessing
import os
import signal
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from spinalroots import cli
from spinalroots.imaging.volume import Grid, Volume, read_image, write_volume
from spinalroots.inference import predictor as inference
from spinalroots.inference.predictor import Prediction
from spinalroots.predict import scan as predict
from spinalroots.quality import appearance
from spinalroots.registry.anatomy import Target

TARGET = Target.of("levels", "sacral")
AFFINE = np.diag([1.2, 1.2, 1.5, 1.0])
SHAPE = (30, 32, 40)
STORED = Grid(
    (40, 32, 30),
    AFFINE @ np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 39], [0, 0, 0, 1.0]]),
)


def tube() -> np.ndarray:
    """A bright sac in the middle of dark tissue."""
    right, front = (np.arange(size) * 1.2 for size in SHAPE[:2])
    distance = np.hypot(right[:, None] - 18, front[None] - 19)
    plane = 100 + 900 * (distance < 8.5)
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)
    return (np.repeat(plane[:, :, None], SHAPE[2], axis=2) + noise).astype(np.float32)


class Stub:
    """Finds S1 in a box left and right of the middle, and is unsure of it."""

    target = TARGET

    def predict(self, scan, centreline, runner=None):
        labels = np.zeros(SHAPE, np.uint8)
        for x in (10, 18):
            labels[x : x + 2, 12:14, 8:20] = TARGET.values[0]
        chances = np.zeros((4, *SHAPE), np.float32)
        chances[1] = np.where(labels, 0.7, 0)
        chances[0] = 1 - chances[1]
        doubt = inference.uncertainty(chances)
        return Prediction(*(scan.with_data(one) for one in (labels, chances[1], doubt)))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A scan stored in another orientation, params.yaml, and the stub as every model."""
    write_volume(tmp_path / "scan.nii.gz", Volume(tube(), AFFINE), native=STORED)
    monkeypatch.setattr(inference, "load_predictor", lambda folder, device: Stub())
    return tmp_path


def run(place, smoke_params, **more):
    return predict.predict_file(
        place / "scan.nii.gz", place / "out", smoke_params, models_root=place / "models", **more
    )


def record(place):
    return json.loads((place / "out/scan_prediction.json").read_text(encoding="utf-8"))


def test_everything_lies_on_the_scans_own_grid(place, smoke_params):
    run(place, smoke_params)
    names = {path.name for path in (place / "out").iterdir()}
    maps = {
        "scan_label-roots_mask.nii.gz",
        "scan_label-levels_dseg.nii.gz",
        "scan_label-individuals_dseg.nii.gz",
        "scan_desc-foreground_probseg.nii.gz",
        "scan_desc-uncertainty_map.nii.gz",
    }
    assert maps | {"scan_prediction.json", "scan_centreline.json", "scan_preview.png"} <= names
    assert not any(name.startswith(".") for name in names)
    for name in maps:
        image = nib.load(place / "out" / name)
        assert image.shape == STORED.shape
        assert np.allclose(image.affine, STORED.affine, atol=1e-4)
    doubt = read_image(place / "out/scan_desc-uncertainty_map.nii.gz").data
    levels = read_image(place / "out/scan_label-levels_dseg.nii.gz").data > 0
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3)) / np.log(4)
    assert doubt[levels] == pytest.approx(entropy, abs=0.5 / 255)
    assert not doubt[~levels].any()
    assert record(place)["voxels"] == {"S1_D_R": 48, "S1_D_L": 48}


def test_a_scan_is_compared_with_the_training_scans_where_these_are_known(place, smoke_params):
    run(place, smoke_params)
    assert "not done" in record(place)["appearance_compared"]
    assert "unlike_training" not in {one["kind"] for one in record(place)["warnings"]}
    own = record(place)["appearance"]
    assert own["slice_mm"] == pytest.approx(1.5)

    appearance.write(place / "models/appearance.json", {"sub-1": own})
    run(place, smoke_params)
    assert "unlike_training" not in {one["kind"] for one in record(place)["warnings"]}

    appearance.write(place / "models/appearance.json", {"sub-1": own | {"slice_mm": 5.0}})
    run(place, smoke_params)
    found = [one for one in record(place)["warnings"] if one["kind"] == "unlike_training"]
    assert [one["label"] for one in found] == ["slice_mm"]


def test_a_kill_while_writing_leaves_no_file_of_the_prediction(place, smoke_params, monkeypatch):
    monkeypatch.setattr(predict, "_preview", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    child = multiprocessing.get_context("fork").Process(target=run, args=(place, smoke_params))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [path for path in (place / "out").iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["a file", "read-only", "below a file"])
def test_a_folder_that_cannot_be_written_to_is_refused_first(kind, place, monkeypatch, capsys):
    out = place / "out"
    if kind == "read-only":
        out.mkdir()
        monkeypatch.setattr(predict.os, "access", lambda *_: False)
    else:
        out.write_text("mine", encoding="utf-8")
        out = out / "deeper" if kind == "below a file" else out
    monkeypatch.setattr(predict, "read_image", None)
    code = cli.main(["predict", str(place / "scan.nii.gz"), "-o", str(out), "--params", _params()])
    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: {out}: expected a folder")


def test_a_full_disk_ends_with_an_error_and_no_files(place, smoke_params, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict, "_preview", full)
    with pytest.raises(predict.InputError, match="No space left"):
        run(place, smoke_params)
    assert not (place / "out").exists()


def _params() -> str:
    return os.path.join(os.path.dirname(__file__), "..", "params.yaml")


def test_a_flat_scan_is_refused(place, smoke_params):
    flat = Volume(np.full(SHAPE, 7, np.float32), AFFINE)
    write_volume(place / "scan.nii.gz", flat)
    with pytest.raises(predict.InputError, match="contrast"):
        run(place, smoke_params)
    assert not (place / "out").exists()


def test_without_uncertainty_there_is_no_such_map(place, smoke_params, monkeypatch):
    class Plain(Stub):
        def predict(self, *arguments):
            found = super().predict(*arguments)
            return SimpleNamespace(
                labels=found.labels, foreground=found.foreground, uncertainty=None
            )

    monkeypatch.setattr(inference, "load_predictor", lambda folder, device: Plain())
    run(place, smoke_params)
    assert not (place / "out/scan_desc-uncertainty_map.nii.gz").exists()
