"""How well a prediction agrees with a drawing, in the axial slices where that may be trusted.

Arrays are (X, Y, Z) on one RAS+ grid, slices counted from below. No unit unless a name says mm.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid
from spinalroots.metrics.overlap import dice

THIRDS = ("lower", "middle", "upper")


@dataclass(frozen=True)
class Agreement:
    """Scores from 0 to 1 of one mask in the trusted slices; NaN where nothing is to be scored.

    `recall`: share of the drawn voxels found; `precision`: share of the found voxels drawn;
    `precision_1vox`: share of the found voxels that are drawn or touch a drawn one (at a face, an
    edge or a corner; the whole drawing counts). `slices`: trusted and drawn on; `slices_missed`:
    those of them in which no drawn voxel is found. `dice_thirds`: of the trusted slices' thirds,
    from below. `dice_by_slice` (Z,): NaN in the other slices.
    """

    dice: float
    recall: float
    precision: float
    precision_1vox: float
    slices: int
    slices_missed: int
    dice_thirds: tuple[float, ...]
    dice_by_slice: np.ndarray


def agreement(drawn: np.ndarray, found: np.ndarray, trusted: np.ndarray) -> Agreement:
    """Compare two masks (X, Y, Z) bool in the slices `trusted` (Z,) bool."""
    near = ndimage.binary_dilation(drawn, np.ones((3, 3, 3)))[..., trusted]
    scored = np.flatnonzero(trusted)
    by_slice = np.full(len(trusted), np.nan)
    by_slice[scored] = [dice(drawn[..., z], found[..., z]) for z in scored]
    thirds = [dice(drawn[..., part], found[..., part]) for part in np.array_split(scored, 3)]
    drawn, found = drawn[..., trusted], found[..., trusted]
    drawn_on = drawn.any(axis=(0, 1))
    return Agreement(
        dice(drawn, found),
        _share(found, drawn),
        _share(drawn, found),
        _share(near, found),
        int(drawn_on.sum()),
        int((drawn_on & ~(drawn & found).any(axis=(0, 1))).sum()),
        tuple(thirds),
        by_slice,
    )


def line_errors_mm(line_mm: np.ndarray, found: Centreline, grid: Grid) -> np.ndarray:
    """Distance (M,) in mm, within the axial plane, from a found curve to each of the points
    `line_mm` (N, 3), RAS+ mm, that lies at a height of the grid."""
    places = grid.to_voxels(line_mm)
    places = places[(places[:, 2] > -0.5) & (places[:, 2] < grid.shape[2] - 0.5)]
    crossings = found.in_slices(grid)
    slices = np.arange(grid.shape[2])
    there = np.stack(
        [np.interp(places[:, 2], slices, crossings[:, axis]) for axis in (0, 1)], axis=-1
    )
    return np.linalg.norm((there - places[:, :2]) * grid.spacing_mm[:2], axis=1)


def _share(inside: np.ndarray, of: np.ndarray) -> float:
    total = np.count_nonzero(of)
    return float(np.count_nonzero(of & inside) / total) if total else float("nan")
