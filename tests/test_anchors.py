"""Discs that were seen: points given by hand, label files, their places along the centreline."""

import nibabel as nib
import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.imaging.anchors import (
    Anchor,
    along_mm,
    inside,
    placed,
    read_discs,
    require_inside,
    vertebral_positions,
)
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid
from spinalroots.phantom.case import cord_and_sac_middle, true_centreline
from spinalroots.phantom.spine import build_curve
from spinalroots.phantom.subject import draw_subject
from spinalroots.registry.vertebrae import DISCS, position_of

STRAIGHT = Centreline(np.array([[0.0, 0, z] for z in range(-100, 101, 2)]), "truth")


def oblique(spacing=(1.0, 1.5, 2.0)) -> np.ndarray:
    """A grid stored posterior-superior-right and turned by 20 degrees about two axes."""
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, c, -s], [0, s, c]]
    )
    affine = np.eye(4)
    axes = np.array([[0, 0, 1.0], [-1, 0, 0], [0, 1, 0]])
    affine[:3, :3] = turn @ axes @ np.diag(spacing)
    affine[:3, 3] = (-20, 70, -60)
    return affine


def disc_file(path, points, affine=None, shape=(60, 80, 30), dtype=np.uint8):
    """A label file with single voxels, value → stored index; and where these are in the world."""
    affine = oblique() if affine is None else affine
    data = np.zeros(shape, dtype)
    for value, index in points.items():
        data[index] = value
    nib.save(nib.Nifti1Image(data, affine), path)
    return {value: (affine @ [*index, 1])[:3] for value, index in points.items()}


def test_an_anchor_is_read_from_the_command_line():
    assert Anchor.parse("t12-l1=1,-2.5,3e1") == Anchor("T12/L1", (1.0, -2.5, 30.0))


@pytest.mark.parametrize(
    "text", ["L1/L2", "L1/L2=1,2", "L1/L2=1,2,x", "L1/L2=1,2,nan", "L1=1,2,3", "L1/L2=1,2,3,4"]
)
def test_an_anchor_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="L1"):
        Anchor.parse(text)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_disc_file_on_an_oblique_grid_gives_points_in_the_world(tmp_path, dtype):
    stored = {19: (30, 60, 12), 20: (31, 45, 13), 21: (30, 28, 14), 25: (33, 3, 15), 49: (1, 1, 1)}
    world = disc_file(tmp_path / "discs.nii.gz", stored, dtype=dtype)
    found = read_discs(tmp_path / "discs.nii.gz")
    assert [one.disc for one in found] == ["T11/T12", "T12/L1", "L1/L2", "L5/S1"]
    for one, value in zip(found, (19, 20, 21, 25), strict=True):
        assert one.ras_mm == pytest.approx(tuple(world[value]), abs=1e-3)


def test_a_disc_of_many_voxels_counts_by_its_middle(tmp_path):
    data = np.zeros((50, 50, 20), np.uint8)
    data[10:40, 20:45, 8:13] = 21
    nib.save(nib.Nifti1Image(data, np.diag([1, 1, 2, 1.0])), tmp_path / "discs.nii.gz")
    assert read_discs(tmp_path / "discs.nii.gz")[0].ras_mm == pytest.approx((24.5, 32, 20))


@pytest.mark.parametrize(
    ("values", "words"),
    [({}, "value 0"), ({5: (1, 1, 1)}, "value 5"), ({92: (1, 1, 1), 20: (2, 2, 2)}, "value 92")],
)
def test_a_file_without_known_discs_is_refused(tmp_path, values, words):
    disc_file(tmp_path / "discs.nii.gz", values)
    with pytest.raises(InputError, match=words):
        read_discs(tmp_path / "discs.nii.gz")


def test_vertebrae_are_not_taken_for_discs(tmp_path):
    data = np.zeros((20, 20, 60), np.uint8)
    data[5:15, 5:15, :30], data[5:15, 5:15, 30:] = 21, 20
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "labeled.nii.gz")
    with pytest.raises(InputError, match="30 mm of height"):
        read_discs(tmp_path / "labeled.nii.gz")


def test_an_anchor_outside_the_scan_is_refused():
    affine = oblique()
    grid = Grid((60, 80, 30), affine)
    corner = (affine @ [59.4, 79.4, 29.4, 1])[:3]
    beyond = (affine @ [60.6, 79.4, 29.4, 1])[:3]
    anchors = [Anchor("L1/L2", tuple(corner)), Anchor("T12/L1", tuple(beyond))]
    assert inside(anchors, grid).tolist() == [True, False]
    require_inside(anchors[:1], grid)
    with pytest.raises(InputError, match=r"anchor T12/L1.*LPS"):
        require_inside(anchors, grid)


def test_the_foot_on_a_bent_centreline_is_the_nearest_point_of_a_fine_one():
    z = np.linspace(-80.0, 80.0, 41)
    bent = Centreline(np.stack([3 * np.sin(z / 30), 15 * np.cos(z / 50), z], axis=1), "truth")
    random = np.random.default_rng(1)
    points = np.stack(
        [random.uniform(-10, 10, 30), random.uniform(5, 40, 30), random.uniform(-60, 60, 30)], 1
    )
    found, apart = along_mm(points, bent)
    fine = np.linspace(0, 40, 40001)
    curve = np.stack([np.interp(fine, range(41), bent.points_mm[:, k]) for k in range(3)], 1)
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    for point, at, distance in zip(points, found, apart, strict=True):
        naive = np.linalg.norm(curve - point, axis=1)
        assert distance == pytest.approx(naive.min(), abs=1e-3)
        assert at == pytest.approx(arc[naive.argmin()], abs=0.2)


def test_beyond_its_ends_the_centreline_goes_straight_on():
    found, apart = along_mm(np.array([[3.0, 4, -130], [0, 0, 150]]), STRAIGHT)
    assert found == pytest.approx([-30, 250])
    assert apart == pytest.approx([5, 0])


def test_a_tilted_disc_counts_where_its_plane_meets_the_line():
    tilt = np.radians(35)
    up = np.array([0, -np.sin(tilt), np.cos(tilt)])
    leaning = Centreline(np.arange(-80, 81, 2.0)[:, None] * up, "truth")
    front = np.array([0, np.cos(tilt), np.sin(tilt)])
    anchors = [Anchor("L5/S1", tuple(10 * up + 20 * front))]
    # 20 mm before the line, and yet as high along it as its plane: 10 mm above the middle
    found = vertebral_positions(np.stack([10 * up, 36.5 * up]), leaning, anchors)
    assert found == pytest.approx([-4, -3])


def test_positions_of_slices_from_two_anchors():
    anchors = [Anchor("L1/L2", (0, 12, 0)), Anchor("T12/L1", (3, 14, 33.5))]
    middle = [[0, 0, 0], [0, 0, 16.75], [0, 0, 33.5], [0, 0, -16.75]]
    assert vertebral_positions(middle, STRAIGHT, anchors) == pytest.approx([0, 0.5, 1, -0.5])
    assert np.isnan(vertebral_positions(middle, STRAIGHT, [])).all()


@pytest.mark.parametrize(
    ("discs", "mean", "most"), [("L1/L2", 0.12, 0.5), ("T12/L1 L5/S1", 0.06, 0.3)]
)
def test_the_discs_of_phantoms_are_found_from_one_or_two_of_them(discs, mean, most):
    apart = []
    for seed in range(12):
        subject = draw_subject(np.random.default_rng(seed))
        curve = build_curve(subject)
        line = true_centreline(subject, curve, np.arange(-600, 600.0))
        names = [disc for disc in DISCS if -4 <= position_of(disc) <= 4]
        heights = np.array([subject.discs_mm[disc.split("/")[0]] for disc in names])
        middle = cord_and_sac_middle(subject, heights)
        before = dict(zip(names, curve.to_world(middle + np.array([0, 12, 0])), strict=True))
        anchors = [Anchor(disc, tuple(before[disc])) for disc in discs.split()]
        found = vertebral_positions(curve.to_world(middle), line, anchors)
        apart.append(np.abs(found - [position_of(disc) for disc in names]))
    assert np.mean(apart) < mean
    assert np.max(apart) < most


def test_an_anchor_far_from_the_line_is_refused():
    with pytest.raises(InputError, match=r"60 mm.*LPS"):
        placed([Anchor("L1/L2", (0, -60, 0))], STRAIGHT)
