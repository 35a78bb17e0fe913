"""What names rest on, from the command line to the JSON: discs given, a conus, or neither."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from test_predict import AFFINE, SHAPE, STORED, NotAsked, Stub, tube

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.hardnet.anatomy import predictor as anatomy
from spinalroots.hardnet.anatomy.classes import CORD
from spinalroots.hardnet.anatomy.naming import LEVEL_CLASSES
from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.hardnet.anatomy.prediction import Names
from spinalroots.imaging.anchors import Anchor
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.predict import batch, writing
from spinalroots.predict.load import Model
from spinalroots.predict.package import Settings
from spinalroots.registry.anatomy import level_value
from spinalroots.report import figures

MIDDLE = (18.0, 19.0, 30.0)
"""A point in the middle of the scan, RAS+ mm, that counts as a disc here."""


class Tissues(Stub):
    """Sees a cord, and where it ends."""

    cord, end = True, np.array([18.0, 19.0, 24.04])

    def predict(self, scan, centreline, runner=None):
        tissues = np.zeros(SHAPE, np.uint8)
        tissues[15, 15, 16:] = int(self.cord)
        found = super().predict(scan, centreline, runner)
        return replace(found, tissues=scan.with_data(tissues), conus_mm=self.end)


class Anchored(Tissues):
    """Names by the first disc: S1 becomes S2 if it is not L1/L2."""

    def predict_anchored(self, scan, centreline, runner, anchors):
        found = self.predict(scan, centreline, runner)
        labels = found.labels.data.copy()
        if anchors[0].disc != "L1/L2":
            labels[labels > 0] = level_value("S2")
        return replace(found, labels=scan.with_data(labels))


@pytest.fixture
def run(tmp_path, smoke_params):
    """Predicts with a stub; gives the JSON, and what a person hears."""
    write_volume(tmp_path / "scan.nii.gz", Volume(tube(), AFFINE), native=STORED)
    settings = Settings(
        centreline=smoke_params.centreline,
        inference=smoke_params.inference.hardnet,
        postprocess=smoke_params.postprocess,
    )

    def predict(predictor, **more):
        model = Model("stub", predictor, settings, "0" * 64, None)
        told = writing.predict_file(
            tmp_path / "scan.nii.gz", tmp_path / "out", lambda: model, figures.preview, **more
        )
        return json.loads((tmp_path / "out/scan_prediction.json").read_bytes()), told

    return predict


def test_without_a_disc_names_rest_on_the_conus_and_the_json_says_how_to_mend_them(run):
    record, told = run(Anchored())
    naming = record["naming"]
    assert naming["rests_on"] == "conus"
    assert naming["conus_ras_mm"] == [18.0, 19.0, 24.0]
    assert naming["anchors"] == []
    for words in ("one or two levels", "four or six lumbar", "--anchor", "--discs", "rename"):
        assert words in naming["note"]
    assert "hardnet-anatomy" not in naming["note"]
    assert told[-1] == naming["note"].split(" About")[0]


def test_a_disc_that_was_given_names_the_roots(run):
    record, told = run(Anchored(), anchors=[Anchor("L1/L2", MIDDLE)])
    assert set(record["voxels"]) == {"S1_D_L", "S1_D_R"}
    record, told = run(Anchored(), anchors=[Anchor("L2-L3", MIDDLE)])
    assert set(record["voxels"]) == {"S2_D_L", "S2_D_R"}
    assert record["naming"]["rests_on"] == "anchors"
    assert record["naming"]["anchors"] == [{"disc": "L2/L3", "ras_mm": [18.0, 19.0, 30.0]}]
    assert "four or six lumbar" in record["naming"]["note"]
    assert "may be off" not in record["naming"]["note"]
    assert told[-1] == "Names rest on the discs that were given."


@pytest.mark.parametrize(
    ("disc", "position", "words"),
    [
        ("L1/L2", -0.18, None),
        ("T12/L1", 0.82, None),
        ("T11/T12", 1.81, "1.8 vertebrae above"),
        ("L3/L4", -2.2, "2.2 vertebrae below"),
    ],
)
def test_discs_by_which_the_cord_ends_where_none_does_are_doubted(run, disc, position, words):
    # the cord ends 6 mm below the point that is called a disc
    record, told = run(Anchored(), anchors=[Anchor(disc, MIDDLE)])
    assert record["naming"]["conus_position"] == pytest.approx(position, abs=0.02)
    assert ("count them again" in told[-1]) == (words is not None)
    if words:
        assert words in record["naming"]["note"]


def test_a_model_that_cannot_use_discs_says_so(run):
    record, told = run(Stub(), anchors=[Anchor("L1/L2", MIDDLE)])
    assert record["naming"]["rests_on"] == "conus"
    assert record["naming"]["conus_ras_mm"] is None
    assert len(record["naming"]["anchors"]) == 1
    assert "cannot use the discs" in told[-1]
    assert "to the model hardnet-anatomy" in record["naming"]["note"]


@pytest.mark.parametrize(
    ("cord", "words"), [(False, "No cord is in view"), (True, "goes on below the scan")]
)
def test_a_scan_without_a_conus_is_told_apart(run, cord, words):
    stub = Anchored()
    stub.cord, stub.end = cord, None
    record, told = run(stub)
    assert record["naming"]["rests_on"] is None
    assert record["naming"]["conus_ras_mm"] is None
    assert words in record["naming"]["note"]
    assert words in told[-1]
    assert run(stub, anchors=[Anchor("L1/L2", MIDDLE)])[0]["naming"]["rests_on"] == "anchors"


def disc_file(path, points):
    """Disc labels on a grid of their own: finer than the scan's, and wider."""
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = (-10, -10, -60)
    data = np.zeros((120, 120, 320), np.uint8)
    for value, point in points.items():
        data[tuple(np.rint((np.array(point) - affine[:3, 3]) / 0.5).astype(int))] = value
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def test_a_disc_file_counts_by_its_points_in_the_scan(run, tmp_path):
    points = {20: (18, 19, 65), 21: MIDDLE, 22: (18, 19, -5)}
    record, _ = run(Anchored(), discs=disc_file(tmp_path / "discs.nii.gz", points))
    assert record["naming"]["anchors"] == [{"disc": "L1/L2", "ras_mm": [18.0, 19.0, 30.0]}]


def test_discs_that_do_not_fit_the_scan_are_refused_before_the_network_runs(run, tmp_path):
    outside = disc_file(tmp_path / "outside.nii.gz", {20: (18, 19, 65)})
    for given, words in (
        ({"discs": outside}, "T12/L1 outside"),
        ({"anchors": [Anchor("L1/L2", (-18, -19, 30))]}, "LPS"),
        ({"anchors": [Anchor("L1/L2", MIDDLE), Anchor("L2/L3", (18, 19, 50))]}, "above"),
    ):
        with pytest.raises(InputError, match=words):
            run(NotAsked(), **given)
        assert not (tmp_path / "out").exists()


def test_the_command_line_gives_discs_on(tmp_path, monkeypatch, capsys):
    given = {}

    def run(sources, out, model, draw, wanted, **_):
        given.update(vars(wanted))
        return [batch.Outcome("s.nii.gz", batch.DONE, "o/s", told=["heard"])]

    monkeypatch.setattr(batch, "run", run)
    anchors = ["--anchor", "L1/L2=-1,2,3.5", "--anchor", "t12-l1=-1,2,37", "--discs", "d.nii.gz"]
    assert cli.main(["predict", "s.nii.gz", "-o", "o", "-m", str(tmp_path), *anchors]) == 0
    assert given["anchors"] == (Anchor("L1/L2", (-1, 2, 3.5)), Anchor("T12/L1", (-1, 2, 37)))
    assert str(given["discs"]) == "d.nii.gz"
    assert "heard" in capsys.readouterr().err
    assert cli.main(["predict", "s", "-o", "o", "-m", str(tmp_path), "--anchor", "L9=1"]) == 2


@pytest.mark.parametrize("slice_mm", [1.5, 3.0])
def test_the_anatomy_network_is_told_where_each_slice_lies(monkeypatch, smoke_params, slice_mm):
    squares = smoke_params.anatomy.model_copy(update={"slice_mm": slice_mm})
    predictor = anatomy.AnatomyPredictor.of(
        AnatomyNetwork(squares), squares, smoke_params.inference.anatomy, "a"
    )
    told = {}

    def find_tissues(values, *_, **__):
        tissues = np.zeros((4, *values.shape), np.float32)
        tissues[0], tissues[:, 8:-8, 8:-8, 8:] = 1, np.eye(4)[CORD][:, None, None, None]
        return tissues

    def find_names(tissues, network, coordinates, **_):
        told["places"] = coordinates[:, -1]
        levels = np.zeros((LEVEL_CLASSES, *tissues.shape[1:]), np.float32)
        return Names(levels, *np.zeros((2, *tissues.shape[1:]), np.float32))

    monkeypatch.setattr(anatomy, "find_tissues", find_tissues)
    monkeypatch.setattr(anatomy, "find_names", find_names)
    scan = Volume(tube(), AFFINE)
    line = Centreline(np.array([[18.0, 19.0, z] for z in range(0, 59, 2)]), "truth")
    found = predictor.predict_anchored(scan, line, None, [Anchor("L1/L2", (18, 30, 30))])
    heights = -0.75 + slice_mm / 2 + slice_mm * np.arange(len(told["places"]))
    assert len(heights) == SHAPE[2] * 1.5 / slice_mm
    assert told["places"] == pytest.approx((heights - 30) / 33.5)  # all within a vertebra of it
    assert found.conus_mm == pytest.approx([18, 19, heights[8]])
    predictor.predict(scan, line)
    assert np.isnan(told["places"]).all()
