"""Partial volume of thin tubes: how much of each voxel the roots fill, from sub-voxel distances."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter

_OUTSIDE = -(1 << 29)
"""Added to the number of a part beyond the grid: negative with either of the other two axes."""


@dataclass(frozen=True)
class Tube:
    """A polyline `points_mm` (N, 3), RAS+, with `radius_mm` (N,); `value` names its owner (> 0)."""

    value: int
    points_mm: np.ndarray
    radius_mm: np.ndarray


@dataclass(frozen=True)
class Filling:
    """`share` (X, Y, Z): part of each voxel inside tubes; `owner`: the deepest tube's value."""

    share: np.ndarray
    owner: np.ndarray


def fill(
    tubes: Iterable[Tube],
    shape: tuple[int, int, int],
    affine: np.ndarray,
    subvoxels: int | tuple[int, int, int],
) -> Filling:
    """Fill the voxels of a RAS+ grid with tubes.

    Each voxel is cut into `subvoxels` parts along every axis, or along each its own number; a part
    is filled according to the distance between its centre and the nearest tube's wall, so that a
    tube thinner than a voxel fills a fraction of it. A part belongs to one tube only: the one whose
    wall it is deepest in.
    """
    tubes = list(tubes)
    share, owner = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    box = _box(tubes, shape, affine)
    part = tuple(stop.stop - stop.start for stop in box)
    if min(part) <= 0:
        return Filling(share, owner)
    parts = _Parts(part, affine, [axis.start for axis in box], np.broadcast_to(subvoxels, 3))
    near = parts.near(tubes)
    row = np.cumsum(near.ravel()) - 1  # of a voxel that a tube may touch
    gap = np.full((np.count_nonzero(near), parts.each), np.inf, np.float32)
    nearest = np.zeros(gap.shape, np.uint8)
    flat_gap, flat_nearest = gap.ravel(), nearest.ravel()
    for tube in tubes:
        for points, radius in _pieces(tube, parts.spacing):
            voxel, piece, distance = parts.around(points, radius)
            index = row[voxel] * parts.each + piece
            np.minimum.at(flat_gap, index, distance)
            flat_nearest[index[flat_gap[index] == distance]] = tube.value
    filled = np.clip(0.5 - gap / float(parts.spacing.mean()), 0, 1)
    share[box][near] = _mean(filled, int(parts.count[2]))
    owner[box][near] = nearest[np.arange(len(gap)), gap.argmin(axis=1)]
    return Filling(share, owner)


def centre_voxels(tube: Tube, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Voxels (M, 3) that the tube's centreline passes through, in order, inside the grid."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    points = resample(tube.points_mm, 0.25 * spacing.min())[0]
    index = np.round((points - affine[:3, 3]) / spacing).astype(int)
    index = index[(index >= 0).all(axis=1) & (index < shape).all(axis=1)]
    if len(index) == 0:
        return index
    return index[np.concatenate([[True], (np.diff(index, axis=0) != 0).any(axis=1)])]


def resample(points: np.ndarray, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Points at most `step_mm` apart along a polyline, and where they lie among its samples."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(2, int(np.ceil(length[-1] / step_mm)) + 1))
    place = np.interp(at, length, np.arange(len(points)))
    return np.stack([np.interp(at, length, axis) for axis in points.T], axis=1), place


def _pieces(tube: Tube, spacing: np.ndarray, length: int = 128):
    points, place = resample(tube.points_mm, 0.7 * float(spacing.min()))
    radius = np.interp(place, np.arange(len(tube.points_mm)), tube.radius_mm)
    for start in range(0, len(points), length):
        yield points[start : start + length], radius[start : start + length]


class _Parts:
    """The parts of a box of voxels, numbered voxel by voxel."""

    def __init__(
        self, shape: tuple[int, ...], affine: np.ndarray, start: list[int], count: np.ndarray
    ):
        edges = np.diag(affine)[:3]
        self.shape, self.edges, self.first = shape, edges, affine[:3, 3] + edges * start
        self.count, self.each = count, int(np.prod(count))
        self.spacing = edges / count
        self.origin = affine[:3, 3] + edges * start - edges / 2 + self.spacing / 2
        self.fine = np.array(shape) * count
        steps = self.each * np.array([shape[1] * shape[2], shape[2], 1])
        inners = (count[1] * count[2], count[2], 1)
        small = np.prod(self.fine) < -_OUTSIDE
        self.numbers = [
            np.add.outer(np.arange(size) * step, np.arange(own) * inner)
            .ravel()
            .astype(np.int32 if small else np.int64)
            for size, step, own, inner in zip(shape, steps, count, inners, strict=True)
        ]

    def near(self, tubes: list[Tube]) -> np.ndarray:
        """Voxels (X, Y, Z) with a part that :meth:`around` may find, and some more."""
        near = np.zeros(self.shape, np.uint8)
        widest = max(float(tube.radius_mm.max()) for tube in tubes)
        reach = np.ceil((widest + self.spacing.mean()) / self.edges + 1.1).astype(int)
        for tube in tubes:
            points = resample(tube.points_mm, float(self.edges.min()))[0]
            voxel = np.round((points - self.first) / self.edges).astype(int)
            voxel = voxel[((voxel >= -reach) & (voxel < self.shape + reach)).all(axis=1)]
            near[tuple(np.clip(voxel, 0, np.array(self.shape) - 1).T)] = 1
        return maximum_filter(near, 2 * reach + 1).astype(bool)

    def around(
        self, points: np.ndarray, radius: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxels near the points, which of their parts, and the distance to the tube's wall."""
        spacing, widest = self.spacing, float(radius.max())
        reach = np.ceil((widest + spacing.mean()) / spacing).astype(int)
        centre = np.round((points - self.origin) / spacing).astype(int)
        seen = ((centre >= -reach) & (centre < self.fine + reach)).all(axis=1)
        centre, points, radius = centre[seen], points[seen], radius[seen].astype(np.float32)
        shift = (centre * spacing + self.origin - points).astype(np.float32)
        squares, numbers, square = [], [], np.float32(0)
        for k in range(3):
            step = np.arange(-reach[k], reach[k] + 1)
            spread = tuple(-1 if axis == k else 1 for axis in range(3))
            square = square + ((step * spacing[k]) ** 2).reshape(spread)
            squares.append(np.square(shift[:, k, None] + (step * spacing[k]).astype(np.float32)))
            place = centre[:, k, None] + step
            inside = (place >= 0) & (place < self.fine[k])
            numbers.append(np.where(inside, self.numbers[k].take(place, mode="clip"), _OUTSIDE))
        near = np.sqrt(square) <= widest + 1.5 * spacing.mean()
        squared = _outer(squares)
        number = _outer(numbers)
        limit = np.float32((widest + spacing.mean()) ** 2 * 1.001)
        kept = np.flatnonzero(near & (squared < limit) & (number >= 0))
        distance = np.sqrt(squared.ravel()[kept]) - radius[kept // near.size]
        close = distance < spacing.mean()
        return *np.divmod(number.ravel()[kept[close]], self.each), distance[close]


def _outer(axes: list[np.ndarray]) -> np.ndarray:
    """Sums (N, X, Y, Z) of values (N, X), (N, Y) and (N, Z)."""
    return (axes[0][:, :, None] + axes[1][:, None, :])[..., None] + axes[2][:, None, None, :]


def _mean(parts: np.ndarray, last: int) -> np.ndarray:
    """Mean (N,) over a voxel's parts (N, parts), `last` of them along the last axis.

    They are added in the order in which they lie, so that no library chooses another.
    """
    rows = parts.reshape(len(parts), -1, last)
    lines = sum(rows[:, :, k] for k in range(last))
    return sum(lines[:, j] for j in range(rows.shape[1])) / np.float32(parts.shape[1])


def _box(tubes, shape, affine) -> tuple[slice, ...]:
    """Voxels that the tubes can touch."""
    points = np.concatenate([tube.points_mm for tube in tubes])
    margin = max(float(tube.radius_mm.max()) for tube in tubes) + np.diag(affine)[:3]
    low = np.floor((points.min(0) - margin - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    high = np.ceil((points.max(0) + margin - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    low, high = np.clip(low, 0, shape), np.clip(high + 1, 0, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
