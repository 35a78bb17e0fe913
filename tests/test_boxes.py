"""Boxes around masks and curves, cutting and pasting, on grids that also lie aslant."""

import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.imaging.boxes import (
    bounding_box,
    centreline_box,
    centreline_tube,
    label_boxes,
    paste,
    put_back,
    union_box,
    widened,
)
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid, Volume


def aslant(shape=(12, 14, 16)) -> Grid:
    """A RAS+ grid turned by 20 degrees about the first axis and 7 about the third."""
    a, b = np.deg2rad((20, 7))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x * (0.7, 0.9, 2.0)
    affine[:3, 3] = (-20, 31, 5)
    return Grid(shape, affine)


@pytest.mark.parametrize("seed", range(5))
def test_a_bounding_box_holds_every_voxel_and_no_smaller_one_does(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((9, 8, 7), bool)
    low = rng.integers(0, 4, 3)
    part = rng.random((4, 4, 3)) > 0.8
    part[rng.integers(0, 4), 2, 1] = True
    mask[tuple(slice(a, a + n) for a, n in zip(low, part.shape, strict=True))] = part
    places = np.argwhere(mask)
    expected = tuple(
        slice(a, b + 1) for a, b in zip(places.min(axis=0), places.max(axis=0), strict=True)
    )
    assert bounding_box(mask) == expected
    assert label_boxes(mask * np.uint8(89)) == {89: expected}


def test_a_margin_stops_at_the_edge_and_may_differ_between_axes():
    mask = np.zeros((6, 6, 6), bool)
    mask[2, 3, 4] = True
    assert bounding_box(mask, 4) == (slice(0, 6), slice(0, 6), slice(0, 6))
    assert bounding_box(mask, np.array([0, 1, 9])) == (slice(2, 3), slice(2, 5), slice(0, 6))
    assert widened((slice(2, 3), slice(3, 4)), 2, (4, 9)) == (slice(0, 4), slice(1, 6))


def test_nothing_has_no_box_and_adds_nothing_to_another():
    box = (slice(1, 2), slice(2, 5))
    assert bounding_box(np.zeros((3, 3, 3))) is None
    assert union_box(None, None) is None
    assert union_box(box, None) == union_box(None, box) == box
    assert union_box(box, (slice(0, 1), slice(4, 9))) == (slice(0, 2), slice(2, 9))


def test_a_crop_of_an_oblique_volume_is_laid_back_where_it_was_cut():
    grid = aslant()
    whole = Volume(np.random.default_rng(0).integers(0, 9, grid.shape), grid.affine)
    box = (slice(2, 9), slice(0, 14), slice(5, 6))
    back = paste(whole.crop(box), grid)
    assert np.array_equal(back.data, put_back(whole.data[box], box, grid.shape))
    assert np.array_equal(back.data[box], whole.data[box])
    assert np.count_nonzero(back.data) == np.count_nonzero(whole.data[box])
    assert back.grid.matches(grid)


@pytest.mark.parametrize(
    "change", ["a quarter of a voxel aside", "outside", "coarser", "turned", "another direction"]
)
def test_what_is_no_crop_of_the_grid_is_refused(change):
    grid = aslant()
    part = Volume(np.ones(grid.shape), grid.affine).crop((slice(2, 9), slice(1, 12), slice(3, 9)))
    affine, data = part.affine.copy(), part.data
    if change == "a quarter of a voxel aside":
        affine[0, 3] += 0.25
    elif change == "outside":
        affine[0, 3] += 100
    elif change == "coarser":
        affine[:3, 0] *= 2
    elif change == "turned":
        affine[:3, 1] += 0.01 * affine[:3, 2]
    else:
        affine[:3, :3] = affine[:3, [1, 0, 2]]
    with pytest.raises(InputError, match="a crop of the grid"):
        paste(Volume(data, affine), grid, "mask.nii.gz")


@pytest.mark.parametrize("margin_vox", [0.0, 1.3, (2.5, 0.4), 99.0])
def test_a_centreline_s_box_holds_what_is_within_the_margin_and_one_voxel_more_at_most(margin_vox):
    grid = aslant((30, 40, 16))
    heights = np.arange(16.0)
    voxels = np.column_stack([14 + 3 * np.sin(heights / 4), 17 - 0.3 * heights, heights])
    line = Centreline.from_slices(voxels, grid.affine, "truth")
    margin = np.broadcast_to(margin_vox, 2)
    *plane, along = centreline_box(line, grid, margin_vox)
    assert along == slice(0, 16)
    for axis, side in enumerate(plane):
        index = np.arange(grid.shape[axis])
        low, high = voxels[:, axis].min() - margin[axis], voxels[:, axis].max() + margin[axis]
        needed = index[(index >= low - 1e-6) & (index <= high + 1e-6)]
        assert side.start <= needed[0] <= side.start + 1
        assert side.stop - 2 <= needed[-1] < side.stop


def test_a_centreline_beside_the_scan_still_has_a_box_inside_it():
    grid = aslant()
    far = Centreline(grid.to_mm(np.array([[-90.0, 80, 0], [-90, 80, 15]])), "truth")
    right, front, _ = centreline_box(far, grid, 1.0)
    assert (right.stop - right.start, front.stop - front.start) == (2, 2)
    assert right.start == 0
    assert front.stop == 14


def test_voxels_and_millimetres_are_two_ways_to_say_one_place():
    grid = aslant()
    voxels = np.random.default_rng(1).uniform(0, 12, (5, 4, 3))
    points = grid.to_mm(voxels)
    by_hand = grid.affine @ np.append(voxels[2, 3], 1.0)
    assert np.allclose(points[2, 3], by_hand[:3])
    assert np.allclose(grid.to_voxels(points), voxels)
    assert np.isclose(grid.voxel_mm3, 0.7 * 0.9 * 2.0)


@pytest.mark.parametrize(
    "grid", [aslant((40, 36, 20)), Grid((30, 30, 12), np.diag([0.5, 1, 3, 1]))]
)
def test_a_tube_is_a_cylinder_around_the_curve_inside_its_box(grid):
    across, front, slices = grid.shape
    middle = [(across / 2, front / 2, level) for level in range(slices)]
    curve = Centreline.from_slices(middle, grid.affine, "truth")
    tube = centreline_tube(curve, grid, 6.0)
    beyond = tube.copy()
    beyond[centreline_box(curve, grid, 6.0 / grid.spacing_mm[:2])] = False
    assert not beyond.any()
    for level in range(2, grid.shape[2] - 2):
        section_mm2 = tube[:, :, level].sum() * grid.spacing_mm[0] * grid.spacing_mm[1]
        assert section_mm2 == pytest.approx(np.pi * 36, rel=0.08)
