"""Boxes of voxels: around a mask, around a centreline, cut out of a grid and put back into it.

Thin structures fill little of a scan, so most work is done where they are. Arrays are (X, Y, Z) on
a RAS+ grid; a box holds one slice an axis, with whole numbers from 0 on.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from spinalroots.errors import InputError
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Box, Grid, Volume


def bounding_box(mask: np.ndarray, margin_vox: int | np.ndarray = 0) -> Box | None:
    """Smallest box around a mask's non-zero voxels, widened by a margin (one, or one an axis).

    :return: None for an empty mask; the margin stops at the array's edge.
    """
    axes = range(mask.ndim)
    filled = [np.flatnonzero(mask.any(axis=tuple({*axes} - {axis}))) for axis in axes]
    if not all(found.size for found in filled):
        return None
    box = tuple(slice(int(found[0]), int(found[-1]) + 1) for found in filled)
    return widened(box, margin_vox, mask.shape)


def label_boxes(labels: np.ndarray) -> dict[int, Box]:
    """Bounding box of every label value from 1 on that occurs in `labels` (whole numbers)."""
    found = ndimage.find_objects(labels)
    return {value: box for value, box in enumerate(found, start=1) if box is not None}


def union_box(first: Box | None, second: Box | None) -> Box | None:
    """Smallest box around two boxes, either of which may be None."""
    if first is None or second is None:
        return first or second
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )


def widened(box: Box, margin_vox: int | np.ndarray, shape: tuple[int, ...]) -> Box:
    """The box and `margin_vox` whole voxels (one number, or one an axis) on every side of it, as
    far as an array of `shape` reaches."""
    margins = np.broadcast_to(margin_vox, len(box)).tolist()
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, margin, length in zip(box, margins, shape, strict=True)
    )


def centreline_box(centreline: Centreline, grid: Grid, margin_vox: float | np.ndarray) -> Box:
    """All slices of a RAS+ grid; in their plane, what lies within a margin of the curve.

    :param margin_vox: along the first axis and the second, or one for both; need not be whole.
    :return: at least two voxels wide each way, also where the curve leaves the grid.
    """
    places, size = centreline.in_slices(grid), np.array(grid.shape[:2])
    low = np.clip(np.floor(places.min(axis=0) - margin_vox), 0, size - 2).astype(int)
    high = np.clip(np.ceil(places.max(axis=0) + margin_vox) + 1, low + 2, size).astype(int)
    return (*map(slice, low.tolist(), high.tolist()), slice(0, grid.shape[2]))


def centreline_tube(centreline: Centreline, grid: Grid, radius_mm: float) -> np.ndarray:
    """Voxels (X, Y, Z) of a RAS+ grid within `radius_mm` of the curve in their own slice (bool)."""
    places, spacing_mm = centreline.in_slices(grid), grid.spacing_mm
    across, front = (
        (np.arange(grid.shape[axis])[:, None] - places[:, axis]) * spacing_mm[axis]
        for axis in (0, 1)
    )
    return across[:, None] ** 2 + front[None] ** 2 <= radius_mm**2


def put_back(part: np.ndarray, box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """An array of `shape` that holds `part` in `box` and 0 elsewhere."""
    whole = np.zeros(shape, part.dtype)
    whole[box] = part
    return whole


def paste(part: Volume, grid: Grid, where: Path | str = "label map") -> Volume:
    """A volume that was cut out of `grid`, back on all of it; 0 outside it.

    :param where: what an error names.
    :raises InputError: the part's voxels are not voxels of the grid.
    """
    low = np.round(grid.to_voxels(part.affine[:3, 3])).astype(int)
    high = low + part.data.shape
    box = tuple(map(slice, low.tolist(), high.tolist()))
    inside = (low >= 0).all() and (high <= grid.shape).all()
    if not inside or not part.grid.matches(grid.crop(box)):
        raise InputError(
            where,
            expected=f"a crop of the grid {grid}",
            found=str(part.grid),
            fix="Crop the scan, do not resample it.",
        )
    return Volume(put_back(part.data, box, grid.shape), grid.affine)
