"""Masks of curves that have a thickness."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from spinalroots.imaging.markups import Curve
from spinalroots.imaging.volume import Grid

_FINE = 0.2
"""Distance of the points that a curve is painted from, in the smallest voxel edges."""

_AT_ONCE = 2**20
"""Voxels that are looked at together: bounds the memory."""


def paint(curves: Mapping[int, Curve], grid: Grid, radius_mm: float) -> np.ndarray:
    """Label map (X, Y, Z) uint8 of curves, label → curve.

    A voxel belongs to a curve if its centre is no further away than the curve's radius there, or if
    the curve runs through it, so that a curve thinner than a voxel is a thread of voxels in one
    piece. Of two curves the one in which it lies deeper has it.

    :param radius_mm: of curves that have none of their own.
    """
    depth_mm = np.full(grid.shape, -np.inf, np.float32)
    labels = np.zeros(grid.shape, np.uint8)
    for value, curve in curves.items():
        points, radii = smooth_line(curve, _FINE * float(grid.spacing_mm.min()), radius_mm)
        deepest = np.full(grid.shape, -np.inf, np.float32)
        for voxels, depth in _near(points, radii, grid):
            np.maximum.at(deepest, tuple(voxels.T), depth)
        mine = (deepest >= 0) & (deepest > depth_mm)
        labels[mine], depth_mm[mine] = value, deepest[mine]
    return labels


def smooth_line(curve: Curve, step_mm: float, radius_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) about every `step_mm` through a curve's own, and the radius (N,) there.

    A spline over the length of the chords that does not swing out between points (Akima 1970).
    """
    steps = np.linalg.norm(np.diff(curve.points_mm, axis=0), axis=1)
    apart = np.append(True, steps > 1e-6)
    points = curve.points_mm[apart]
    radii = np.full(len(apart), radius_mm) if curve.radius_mm is None else curve.radius_mm
    along = np.append(0.0, np.cumsum(steps))[apart]
    at = np.linspace(0, along[-1], max(2, int(np.ceil(along[-1] / step_mm)) + 1))
    if len(points) < 3:
        line = np.stack([np.interp(at, along, axis) for axis in points.T], axis=1)
    else:
        line = Akima1DInterpolator(along, points, method="makima")(at)
    return line, np.interp(at, along, radii[apart])


def _near(
    points: np.ndarray, radii: np.ndarray, grid: Grid
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Voxels (M, 3) of the grid near the points, some of them often, and how deep they lie inside
    (M,), in mm; at least 0 where the curve runs through. Some points at a time."""
    reach = np.ceil(radii.max() / grid.spacing_mm).astype(int)
    offsets = np.indices(2 * reach + 1).reshape(3, -1).T - reach
    through = (offsets == 0).all(axis=1)
    count = max(1, _AT_ONCE // len(offsets))
    for start in range(0, len(points), count):
        some = points[start : start + count]
        voxels = np.rint(grid.to_voxels(some)).astype(int)[:, None] + offsets
        away = np.linalg.norm(grid.to_mm(voxels) - some[:, None], axis=2)
        depth = radii[start : start + count, None] - away
        depth[:, through] = np.maximum(depth[:, through], 0)
        kept = ((voxels >= 0) & (voxels < grid.shape)).all(axis=2) & (depth >= 0)
        yield voxels[kept], depth[kept].astype(np.float32)
