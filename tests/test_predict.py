"""One patient's scan through `predict`, with a stub for the network: what is written, and when."""

import json
import os
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from processes import at_once

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.imaging.volume import Grid, Volume, read_image, write_volume
from spinalroots.inference.doubt import name_chance
from spinalroots.inference.predictor import Prediction
from spinalroots.predict import writing
from spinalroots.predict.load import Model
from spinalroots.predict.package import Settings
from spinalroots.predict.sources import Source
from spinalroots.registry.anatomy import Target
from spinalroots.report import figures

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
    """Finds S1 in a box left and right of the middle, and is unsure of it and of its name."""

    target = TARGET

    def predict(self, scan, centreline, runner=None):
        labels = np.zeros(SHAPE, np.uint8)
        for x in (10, 18):
            labels[x : x + 2, 12:14, 8:20] = TARGET.values[0]
        roots = np.zeros((3, *SHAPE), np.float32)
        roots[0], roots[1] = np.where(labels, 0.5, 0), np.where(labels, 0.2, 0)
        maps = (labels, roots.sum(axis=0), name_chance(roots))
        return Prediction(*(scan.with_data(one) for one in maps))


class NotAsked(Stub):
    """For runs that end before the network is asked."""

    def predict(self, scan, centreline, runner=None):
        raise AssertionError


@pytest.fixture
def place(tmp_path):
    """A folder with a scan that is stored in another orientation."""
    write_volume(tmp_path / "scan.nii.gz", Volume(tube(), AFFINE), native=STORED)
    return tmp_path


@pytest.fixture
def settings(smoke_params) -> Settings:
    return Settings(
        centreline=smoke_params.centreline,
        inference=smoke_params.inference.hardnet,
        postprocess=smoke_params.postprocess,
    )


def run(place, settings, *, predictor=None, training_scans=None, draw=figures.preview):
    model = Model("stub", predictor or Stub(), settings, "0" * 64, training_scans)
    writing.predict_file(place / "scan.nii.gz", place / "out", lambda: model, draw)


def record(place):
    return json.loads((place / "out/scan_prediction.json").read_text(encoding="utf-8"))


def test_everything_lies_on_the_scans_own_grid(place, settings):
    run(place, settings)
    names = {path.name for path in (place / "out").iterdir()}
    maps = {
        "scan_label-roots_mask.nii.gz",
        "scan_label-levels_dseg.nii.gz",
        "scan_label-individuals_dseg.nii.gz",
        "scan_desc-foreground_probseg.nii.gz",
        "scan_desc-rootuncertainty_map.nii.gz",
        "scan_desc-nameuncertainty_map.nii.gz",
    }
    assert maps | {"scan_prediction.json", "scan_centreline.json", "scan_preview.png"} <= names
    assert {name for name in names if name.startswith(".")} == {".spinalroots"}
    for name in maps:
        image = nib.load(place / "out" / name)
        assert image.shape == STORED.shape
        assert np.allclose(image.affine, STORED.affine, atol=1e-4)
    levels = read_image(place / "out/scan_label-levels_dseg.nii.gz").data > 0
    for question, wrong in (("root", 0.3), ("name", 2 / 7)):
        doubt = read_image(place / f"out/scan_desc-{question}uncertainty_map.nii.gz").data
        assert doubt[levels] == pytest.approx(wrong, abs=0.5 / 255)
        assert not doubt[~levels].any()
    assert record(place)["voxels"] == {"S1_D_R": 48, "S1_D_L": 48}


def test_a_scan_is_compared_with_the_training_scans_where_these_are_known(place, settings):
    run(place, settings)
    assert "not done" in record(place)["appearance_compared"]
    assert "unlike_training" not in {one["kind"] for one in record(place)["warnings"]}
    own = record(place)["appearance"]
    assert own["slice_mm"] == pytest.approx(1.5)

    run(place, settings, training_scans={"sub-1": own})
    assert "unlike_training" not in {one["kind"] for one in record(place)["warnings"]}

    run(place, settings, training_scans={"sub-1": own | {"slice_mm": 5.0}})
    found = [one for one in record(place)["warnings"] if one["kind"] == "unlike_training"]
    assert [one["label"] for one in found] == ["slice_mm"]


def test_a_kill_while_writing_leaves_no_file_of_the_prediction(place, settings):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    assert at_once(lambda: run(place, settings, draw=killed)) == [-signal.SIGKILL]
    assert [path for path in (place / "out").iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["a file", "read-only", "below a file"])
def test_a_folder_that_cannot_be_written_to_is_refused_first(kind, place, monkeypatch, capsys):
    out = place / "out"
    if kind == "read-only":
        out.mkdir()
        monkeypatch.setattr(writing.os, "access", lambda *_: False)
    else:
        out.write_text("mine", encoding="utf-8")
        out = out / "deeper" if kind == "below a file" else out
    monkeypatch.setattr(Source, "read", None)
    code = cli.main(["predict", str(place / "scan.nii.gz"), "-o", str(out), "-m", str(place)])
    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: {out}: expected a folder")


def test_a_full_disk_ends_with_an_error_and_no_files(place, settings):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        run(place, settings, draw=full)
    assert not (place / "out").exists()


def test_a_second_run_adds_to_the_folder_and_never_overwrites_a_correction(place, settings):
    (place / "out").mkdir()
    (place / "out/notes.txt").write_text("mine", encoding="utf-8")
    shutil.copy(place / "scan.nii.gz", place / "out/scan.nii.gz")
    run(place, settings)
    run(place, settings)
    assert (place / "out/notes.txt").read_text(encoding="utf-8") == "mine"
    assert (place / "out/scan.nii.gz").read_bytes() == (place / "scan.nii.gz").read_bytes()
    mask = place / "out/scan_label-levels_dseg.nii.gz"
    mask.write_bytes(b"corrected by an expert")
    with pytest.raises(InputError, match=r"label-levels_dseg.*changed since"):
        run(place, settings, predictor=NotAsked())
    assert mask.read_bytes() == b"corrected by an expert"


def test_two_scans_of_one_name_do_not_mix_in_one_folder(place, settings):
    run(place, settings)
    before = {path.name: path.read_bytes() for path in (place / "out").iterdir()}
    write_volume(place / "scan.nii.gz", Volume(tube() + 1, AFFINE), native=STORED)
    with pytest.raises(InputError, match="a result of something else"):
        run(place, settings, predictor=NotAsked())
    assert {path.name: path.read_bytes() for path in (place / "out").iterdir()} == before


def test_a_map_that_is_not_made_again_does_not_stay_from_the_run_before(place, settings):
    class Certain(Stub):
        def predict(self, scan, centreline, runner=None):
            return replace(super().predict(scan, centreline), name_chance=None, tissues=None)

    run(place, settings)
    run(place, settings, predictor=Certain())
    assert not (place / "out/scan_desc-nameuncertainty_map.nii.gz").exists()
    assert (place / "out/scan_desc-rootuncertainty_map.nii.gz").exists()


def test_a_flat_scan_is_refused(place, settings):
    flat = Volume(np.full(SHAPE, 7, np.float32), AFFINE)
    write_volume(place / "scan.nii.gz", flat)
    with pytest.raises(InputError, match="contrast"):
        run(place, settings)
    assert not (place / "out").exists()


def test_without_chances_of_names_there_is_no_map_of_their_doubt(place, settings):
    class Plain(Stub):
        def predict(self, *arguments):
            found = super().predict(*arguments)
            return SimpleNamespace(
                labels=found.labels,
                foreground=found.foreground,
                name_chance=None,
                tissues=None,
                conus_mm=None,
            )

    run(place, settings, predictor=Plain())
    assert not (place / "out/scan_desc-nameuncertainty_map.nii.gz").exists()
    assert (place / "out/scan_desc-rootuncertainty_map.nii.gz").exists()
