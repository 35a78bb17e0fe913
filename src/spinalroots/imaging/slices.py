"""Squares around the centreline, one for each axial slice, and the exact way back to the scan.

The scan's axial slices are first resampled in their plane to a fixed voxel size (not at all when
it is the scan's own), then a square is cut around the voxel nearest to the centreline. Whole voxels
are shifted, so the way back only undoes the resampling: where the voxel sizes agree it reproduces
every voxel that a square holds.
"""

from dataclasses import dataclass

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.resample import resample_axis, resampled_length, to_resampled
from spinalroots.imaging.volume import Grid


@dataclass(frozen=True)
class Squares:
    """Where the squares of a scan lie: all that is needed to cut them and to put them back.

    `grid`: the scan's RAS+ grid (X, Y, Z). `size_vox`: edge S of a square in voxels of `voxel_mm`.
    `plane` (X', Y'): voxels of a resampled axial slice. `corners` (Z, 2): first voxel of each
    square in the resampled slice; negative where the square leaves the scan.
    """

    grid: Grid
    voxel_mm: float
    size_vox: int
    plane: tuple[int, ...]
    corners: np.ndarray

    def inside(self) -> np.ndarray:
        """(S, S, Z) bool: voxels of the squares that lie in the scan, not in padding."""
        voxels = self.corners.T[:, None, :] + np.arange(self.size_vox)[None, :, None]
        inside = (voxels >= 0) & (voxels < np.asarray(self.plane)[:, None, None])
        return inside[0][:, None] & inside[1][None, :]


def place(
    grid: Grid, centreline: Centreline, size_mm: float, voxel_mm: float | None = None
) -> Squares:
    """Squares of `size_mm` around the centreline in every axial slice of `grid`.

    :param voxel_mm: in-plane voxel size; None keeps the scan's own (of the right-left axis), which
        makes the way back exact for a scan with square voxels.
    """
    voxel_mm = float(voxel_mm or grid.spacing_mm[0])
    size_vox = max(1, round(size_mm / voxel_mm))
    spacing_mm, crossings = grid.spacing_mm, centreline.in_slices(grid)
    plane = tuple(resampled_length(grid.shape[axis], spacing_mm[axis], voxel_mm) for axis in (0, 1))
    middle = np.column_stack(
        [to_resampled(crossings[:, axis], spacing_mm[axis], voxel_mm) for axis in (0, 1)]
    )
    # The tiny shift lets ties fall the same way whatever the last bit of the centreline.
    corners = np.floor(middle - (size_vox - 1) / 2 + 0.5 + 1e-6).astype(int)
    return Squares(grid, voxel_mm, size_vox, plane, corners)


def cut(data: np.ndarray, squares: Squares, *, labels: bool = False, fill: float = 0) -> np.ndarray:
    """Squares (S, S, Z) of `data` (X, Y, Z) on the grid that `squares` were placed on.

    :param labels: copy the nearest voxel when resampling, and keep the data type.
    :param fill: value where a square leaves the volume.
    """
    spacing = squares.grid.spacing_mm
    plane = data
    for axis in (0, 1):
        plane = resample_axis(
            plane, axis, spacing[axis], squares.voxel_mm, squares.plane[axis], nearest=labels
        )
    size = squares.size_vox
    values = np.full((size, size, data.shape[2]), fill, plane.dtype)
    for index, corner in enumerate(squares.corners):
        there, here = _overlap(corner, size, squares.plane)
        values[(*here, index)] = plane[(*there, index)]
    return values


def restore(
    values: np.ndarray, squares: Squares, *, labels: bool = False, fill: float = 0
) -> np.ndarray:
    """The volume (..., X, Y, Z) on the scan's grid that the squares `values` (..., S, S, Z) show.

    Padding is dropped; voxels that no square holds become `fill`. Probabilities may have leading
    axes, for example one map a class.
    """
    lead = values.shape[:-3]
    plane = np.full((*lead, *squares.plane, values.shape[-1]), fill, values.dtype)
    for index, corner in enumerate(squares.corners):
        there, here = _overlap(corner, squares.size_vox, squares.plane)
        plane[(..., *there, index)] = values[(..., *here, index)]
    spacing = squares.grid.spacing_mm
    for axis in (0, 1):
        plane = resample_axis(
            plane,
            axis - 3 + plane.ndim,
            squares.voxel_mm,
            spacing[axis],
            squares.grid.shape[axis],
            nearest=labels,
        )
    return plane


def _overlap(
    corner: np.ndarray, size: int, plane: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a square inside the slice: its place in the slice, and in the square."""
    there, here = [], []
    for start, length in zip(corner.tolist(), plane, strict=True):
        low, high = np.clip((start, start + size), 0, length).tolist()
        there.append(slice(low, high))
        here.append(slice(min(low - start, size), max(high - start, 0)))
    return (there[0], there[1]), (here[0], here[1])
