"""nnU-Net's tiles along a bent tube: all of it is seen, and little else."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from spinalroots.nnunet.tiles import tiles

PATCH, STEP = (12, 6, 6), 0.75


def bent_tube(axis: int = 0) -> np.ndarray:
    """A tube of radius 5 whose middle swings from side to side along its longest axis."""
    height, edge = 60, 40
    line = edge / 2 + 12 * np.sin(np.arange(height) / 15)
    y, x = np.mgrid[:edge, :edge]
    slices = [(y - place) ** 2 + (x - edge / 2) ** 2 <= 25 for place in line]
    return np.moveaxis(np.array(slices), 0, axis)


def patch(axis: int) -> tuple[int, ...]:
    return tuple(np.roll(PATCH, axis).tolist())


def looks(boxes: list, shape: tuple[int, ...]) -> np.ndarray:
    """How many tiles hold each voxel."""
    seen = np.zeros(shape, int)
    for box in boxes:
        seen[box] += 1
    return seen


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tiles_of_one_size_lie_in_the_image_and_cover_the_whole_tube(axis):
    tube, size = bent_tube(axis), patch(axis)
    boxes = tiles(tube, size, STEP)
    assert len(set(map(str, boxes))) == len(boxes)
    assert all(tube[box].shape == size and tube[box].any() for box in boxes)
    assert looks(boxes, tube.shape)[tube].min() >= 1


def test_half_as_many_tiles_as_a_window_over_the_box_of_the_tube():
    tube = bent_tube()
    places = [
        range(0, length - size + 1, int(size * STEP))
        for length, size in zip(tube.shape, PATCH, strict=True)
    ]
    window = [
        corner
        for corner in product(*places)
        if tube[tuple(slice(at, at + size) for at, size in zip(corner, PATCH, strict=True))].any()
    ]
    assert len(tiles(tube, PATCH, STEP)) <= 0.75 * len(window)


def test_neighbours_overlap_as_much_as_asked_for():
    tube = np.ones((60, 20, 20), bool)
    starts = [sorted({box[axis].start for box in tiles(tube, PATCH, STEP)}) for axis in range(3)]
    for found, size, length in zip(starts, PATCH, tube.shape, strict=True):
        assert (found[0], found[-1]) == (0, length - size)
        assert np.diff(found).max() <= size * STEP + 0.5


def test_a_tube_narrower_than_a_tile_stands_in_its_middle():
    tube = np.zeros((24, 30, 30), bool)
    tube[:, 14:16, 2:4] = True
    boxes = tiles(tube, PATCH, STEP)
    assert {(box[1].start, box[2].start) for box in boxes} == {(12, 0)}


def test_no_tile_without_a_tube():
    assert tiles(np.zeros((20, 10, 10), bool), PATCH, STEP) == []
