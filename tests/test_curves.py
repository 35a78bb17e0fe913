"""Roots as 3D Slicer's curves: written, read, painted, and brought in beside a scan."""

import json
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial import cKDTree

from spinalroots import ingest
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.curve_masks import paint
from spinalroots.imaging.markups import Curve, markups_json, read_markups
from spinalroots.imaging.volume import Grid, read_labels
from spinalroots.reconstruct.trajectories import trace_root
from spinalroots.registry.anatomy import Root, Scheme, level_value

TURN = np.radians(14)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = [
    [0.7 * np.cos(TURN), -0.7 * np.sin(TURN), 0.0],
    [0.7 * np.sin(TURN), 0.7 * np.cos(TURN), -0.15],
    [0.1, 0.1, 0.9],
]
OBLIQUE[:3, 3] = (-31.0, 12.0, -58.0)
SHAPE = (60, 50, 70)


def course(shift_mm=0.0):
    """A line (N, 3) that bends, RAS+ mm, well inside the oblique grid."""
    at = np.linspace(0, 1, 30)
    voxels = np.stack([24 + 10 * at**2, 22 + 4 * np.sin(2 * at), 62 - 52 * at], axis=1)
    return nib.affines.apply_affine(OBLIQUE, voxels) + np.array([shift_mm, 0, 0])


def dense(points):
    return np.concatenate([np.linspace(a, b, 12) for a, b in pairwise(points)])


def write(path, points, radius_mm=1.2):
    radius = None if radius_mm is None else np.full(len(points), radius_mm)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markups_json(path.name, Curve(points, radius), (255, 0, 0)), encoding="utf-8")


def test_a_markups_file_is_lps_and_comes_back_as_it_was(tmp_path):
    points = course()
    write(tmp_path / "a.mrk.json", points)
    record = json.loads((tmp_path / "a.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert record["type"] == "Curve"
    assert record["coordinateSystem"] == "LPS"
    stored = np.array([point["position"] for point in record["controlPoints"]])
    assert np.allclose(stored, points * [-1, -1, 1], atol=1e-4)
    read = read_markups(tmp_path / "a.mrk.json")
    assert np.allclose(read.points_mm, points, atol=1e-4)
    assert np.allclose(read.radius_mm, 1.2)


@pytest.mark.parametrize("radius_mm", [0.2, 0.9, 1.6])
def test_curves_in_masks_out_curves_out_within_half_a_voxel(radius_mm):
    points = course()
    mask = paint({1: Curve(points)}, Grid(SHAPE, OBLIQUE), radius_mm) == 1
    back = trace_root(mask, OBLIQUE)
    line = dense(points)
    inner = (back.along_mm > radius_mm) & (back.along_mm < back.length_mm - radius_mm)
    aside = np.linalg.norm(back.points_mm[inner, None] - line, axis=2).min(axis=1)
    assert aside.max() < 0.5 * nib.affines.voxel_sizes(OBLIQUE).min()
    assert np.linalg.norm(back.points_mm[0] - points[0]) < radius_mm + 0.5
    if radius_mm > 0.5:
        assert np.median(back.diameter_mm) == pytest.approx(2 * radius_mm, rel=0.12)
    else:
        assert back.thin.mean() > 0.9
        assert back.parts == 1


def test_a_painted_voxel_is_one_that_lies_nearer_than_the_radius():
    points = course()
    grid = Grid(SHAPE, OBLIQUE)
    labels = paint({7: Curve(points)}, grid, 1.5)
    places = grid.to_mm(np.indices(SHAPE).reshape(3, -1).T)
    away = cKDTree(dense(points)).query(places)[0]
    near = away <= 1.5
    assert np.count_nonzero(near != (labels.ravel() == 7)) < 0.03 * near.sum()
    assert set(np.unique(labels)) == {0, 7}


def test_of_two_curves_that_cross_a_voxel_goes_to_the_one_it_lies_deeper_in():
    grid = Grid(SHAPE, OBLIQUE)
    labels = paint({1: Curve(course()), 2: Curve(course(1.5))}, grid, 1.5)
    middle = 0.75 + course()[:, 0].mean()
    right = grid.to_mm(np.argwhere(labels == 2))[:, 0].mean()
    left = grid.to_mm(np.argwhere(labels == 1))[:, 0].mean()
    assert left < middle < right
    assert 0.8 < (labels == 1).sum() / (labels == 2).sum() < 1.25


@pytest.fixture
def folder(tmp_path):
    """A lab's folder: an oblique scan, a root as a curve, and a level's two sides."""
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    place = tmp_path / "lab" / "p7"
    place.mkdir(parents=True)
    nib.save(nib.Nifti1Image(data, OBLIQUE), place / "image.nii.gz")
    write(place / "p7_nerveroots_L3_D_L.mrk.json", course(-6.0))
    write(place / "curves" / "p7_nerveroots_S1_L.mrk.json", course(-2.0), None)
    write(place / "curves" / "p7_nerveroots_S1_R.mrk.json", course(3.0), None)
    return place


def test_curves_beside_a_scan_come_in_as_masks(folder, tmp_path):
    cases = ingest.plan(folder, tmp_path / "data")
    assert any("without a radius" in line for line in cases[0].lines())
    ingest.ingest(cases, tmp_path / "data")
    stored = Dataset(tmp_path / "data")
    roots = read_labels(stored.labels("sub-001", Scheme.INDIVIDUALS))
    assert set(np.unique(roots.data)) == {0, Root.parse("L3_D_L").value}
    back = trace_root(roots.data > 0, roots.affine)
    aside = np.linalg.norm(back.points_mm[2:-2, None] - course(-6.0), axis=2).min(axis=1)
    assert aside.max() < 1.0  # the curve's own points are 1.7 mm apart
    levels = read_labels(stored.labels("sub-001", Scheme.LEVELS))
    assert level_value("S1") in np.unique(levels.data)
    entity = read_labels(stored.labels("sub-001", Scheme.ENTITY)).data
    assert np.array_equal(entity > 0, (roots.data > 0) | (levels.data > 0))


def test_a_corrected_curve_replaces_its_root_and_no_other(folder, tmp_path):
    ingest.ingest(ingest.plan(folder, tmp_path / "data"), tmp_path / "data")
    write(tmp_path / "p7_nerveroots_L4_D_R.mrk.json", course(5.0))
    ingest.replace_masks("sub-001", tmp_path / "p7_nerveroots_L4_D_R.mrk.json", tmp_path / "data")
    roots = read_labels(Dataset(tmp_path / "data").labels("sub-001", Scheme.INDIVIDUALS))
    wanted = {0, Root.parse("L3_D_L").value, Root.parse("L4_D_R").value}
    assert set(np.unique(roots.data)) == wanted


def test_an_empty_folder_beside_is_no_matter_but_two_curves_of_a_root_are(folder, tmp_path):
    write(folder / "again" / "x_L3_D_L.mrk.json", course())
    with pytest.raises(InputError, match="another one in"):
        ingest.plan(folder, tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"markups": []}, "markups: none"),
        ({"markups": [{"type": "Fiducial"}]}, "markups: Fiducial"),
        ({"something": 1}, "no such content"),
        ({"markups": [{"type": "Curve", "coordinateSystem": "LPS"}]}, "0 points"),
        (
            {"markups": [{"type": "Curve", "coordinateSystem": "ijk", "controlPoints": []}]},
            "ijk in mm",
        ),
    ],
)
def test_a_file_that_is_no_curve_is_refused_and_named(folder, tmp_path, change, told):
    path = folder / "p7_nerveroots_L4_D_L.mrk.json"
    path.write_text(json.dumps(change), encoding="utf-8")
    with pytest.raises(InputError, match=told) as caught:
        ingest.plan(folder, tmp_path / "data")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_curve_of_another_scan_or_without_a_root_s_name_is_refused(folder, tmp_path):
    write(folder / "p7_nerveroots_L5_D_L.mrk.json", course() + 500)
    with pytest.raises(InputError, match="outside of it"):
        ingest.plan(folder, tmp_path / "data")
    Path(folder / "p7_nerveroots_L5_D_L.mrk.json").rename(folder / "centre.mrk.json")
    with pytest.raises(InputError, match="ends in a level and a side"):
        ingest.plan(folder, tmp_path / "data")
