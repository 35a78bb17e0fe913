"""The curve through cord and dural sac: one point, tangent and arc length for every axial slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.linalg import solveh_banded

from spinalroots.files import read_json, write_json
from spinalroots.imaging.volume import Grid


@dataclass(frozen=True)
class Centreline:
    """Points along the cord, and below the conus along the sac's middle.

    `points_mm` (N, 3): RAS+ scanner coordinates in mm, ordered from inferior to superior with a
    strictly rising third coordinate. `source`: how it was found (`mask`, `image`, `truth`, …).
    `conus_mm` (3,): the tip of the cord, which may lie beyond the points; None: not looked for.
    """

    points_mm: np.ndarray
    source: str
    conus_mm: np.ndarray | None = None

    @property
    def arc_length_mm(self) -> np.ndarray:
        """Distance along the curve (N,) in mm from its inferior end."""
        steps = np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def tangents(self) -> np.ndarray:
        """Unit tangents (N, 3), pointing up."""
        gradient = np.gradient(self.points_mm, self.arc_length_mm, axis=0)
        return gradient / np.linalg.norm(gradient, axis=1, keepdims=True)

    def at_height(self, superior_mm: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the curve at RAS+ superior coordinates (...) in mm.

        Beyond its ends the curve goes straight on along the axis of the last point.
        """
        superior_mm = np.asarray(superior_mm, float)
        heights = self.points_mm[:, 2]
        right = np.interp(superior_mm, heights, self.points_mm[:, 0])
        front = np.interp(superior_mm, heights, self.points_mm[:, 1])
        return np.stack([right, front, superior_mm], axis=-1)

    def in_slices(self, grid: Grid) -> np.ndarray:
        """Where the curve crosses the axial slices of a RAS+ grid: (Z, 2) voxel coordinates.

        Also right for an oblique grid, whose slices lie at no single height. Beyond its ends the
        curve goes straight on along the grid's third axis.
        """
        voxels = grid.to_voxels(self.points_mm)
        order = np.argsort(voxels[:, 2], kind="stable")
        slices = np.arange(grid.shape[2])
        return np.stack(
            [np.interp(slices, voxels[order, 2], voxels[order, axis]) for axis in (0, 1)], axis=-1
        )

    def at_slice(self, number: float, grid: Grid) -> np.ndarray:
        """The point (3,), RAS+ mm, at a slice (not rounded, may lie outside) of a RAS+ grid."""
        crossings, slices = self.in_slices(grid), np.arange(grid.shape[2])
        across = [np.interp(number, slices, crossings[:, axis]) for axis in (0, 1)]
        return grid.to_mm(np.array([*across, number]))

    @classmethod
    def from_slices(cls, voxels: np.ndarray, affine: np.ndarray, source: str) -> Centreline:
        """Curve through voxel coordinates (N, 3) of a RAS+ grid, kept where it rises."""
        points_mm = apply_affine(affine, np.asarray(voxels, float))
        highest = np.maximum.accumulate(np.concatenate([[-np.inf], points_mm[:-1, 2]]))
        return cls(points_mm[points_mm[:, 2] > highest], source)

    def write(self, path: Path) -> None:
        """Write as JSON, coordinates rounded to a micrometre."""
        write_json(
            path,
            {
                "space": "RAS+ mm",
                "source": self.source,
                "conus_mm": None if self.conus_mm is None else np.round(self.conus_mm, 3).tolist(),
                "points_mm": np.round(self.points_mm, 3).tolist(),
                "tangents": np.round(self.tangents, 4).tolist(),
                "arc_length_mm": np.round(self.arc_length_mm, 3).tolist(),
            },
        )

    @classmethod
    def read(cls, path: Path) -> Centreline:
        """Read what :meth:`write` wrote."""
        record = read_json(path)
        conus = record.get("conus_mm")
        points = np.asarray(record["points_mm"], float)
        return cls(points, record["source"], None if conus is None else np.asarray(conus, float))


def smooth(values: np.ndarray, weights: np.ndarray, stiffness: float) -> np.ndarray:
    """The smooth sequence (N, D) nearest to `values` (N, D) in the sense of weighted least squares.

    Minimises ``Σ w (y - v)² + stiffness⁴ Σ (second difference of y)²`` (Whittaker 1923, Hodrick and
    Prescott 1997): waves shorter than about ``2 π stiffness`` samples are taken out, straight lines
    are kept as they are, samples of weight 0 are filled in, beyond the ends in a straight line.

    :param weights: (N,) not negative; at least two must be positive.
    """
    values = np.asarray(values, float)
    count = len(values)
    if count < 3:
        return values.copy()
    penalty = float(stiffness) ** 4
    banded = np.zeros((3, count))
    banded[2] = weights
    banded[2, :-2] += penalty
    banded[2, 1:-1] += 4 * penalty
    banded[2, 2:] += penalty
    banded[1, 1:-1] -= 2 * penalty
    banded[1, 2:] -= 2 * penalty
    banded[0, 2:] += penalty
    banded[2] += 1e-12 * (penalty + 1)
    return solveh_banded(banded, np.asarray(weights, float)[:, None] * values)
