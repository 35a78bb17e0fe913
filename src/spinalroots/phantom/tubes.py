"""Partial volume of thin tubes: how much of each voxel the roots fill, from sub-voxel distances."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


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
    tubes: Iterable[Tube], shape: tuple[int, int, int], affine: np.ndarray, subvoxels: int
) -> Filling:
    """Fill the voxels of a RAS+ grid with tubes.

    Each voxel is cut into `subvoxels` parts along every axis; a part is filled according to the
    distance between its centre and the nearest tube's wall, so that a tube thinner than a voxel
    fills a fraction of it. A part belongs to one tube only: the one whose wall it is deepest in.
    """
    tubes = list(tubes)
    share, owner = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    box = _box(tubes, shape, affine)
    part = tuple(stop.stop - stop.start for stop in box)
    if min(part) <= 0:
        return Filling(share, owner)
    edges = np.diag(affine)[:3]
    spacing = edges / subvoxels
    start = np.array([axis.start for axis in box])
    origin = affine[:3, 3] + edges * start - edges / 2 + spacing / 2
    fine = np.array(part) * subvoxels
    gap = np.full(int(fine.prod()), np.inf, np.float32)
    nearest = np.zeros(gap.shape, np.uint8)
    for tube in tubes:
        for points, radius in _pieces(tube, spacing):
            index, distance = _around(points, radius, origin, spacing, fine)
            np.minimum.at(gap, index, distance)
            nearest[index[gap[index] == distance]] = tube.value
    filled = np.clip(0.5 - gap / float(spacing.mean()), 0, 1)
    share[box] = _blocks(filled, part, subvoxels).mean(axis=(1, 3, 5), dtype=np.float32)
    owner[box] = _deepest(gap, nearest, part, subvoxels)
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


def _around(points, radius, origin, spacing, shape) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of fine voxels near the points, and the distance to the tube's wall there."""
    reach = np.ceil((radius.max() + spacing.mean()) / spacing).astype(int)
    axes = [np.arange(-r, r + 1) for r in reach]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    near = np.linalg.norm(offsets * spacing, axis=1) <= radius.max() + 1.5 * spacing.mean()
    offsets = offsets[near]
    centre = np.round((points - origin) / spacing).astype(int)
    shift = (centre * spacing + origin - points).astype(np.float32)
    steps = (offsets * spacing).astype(np.float32)
    squared = sum((shift[:, None, k] + steps[None, :, k]) ** 2 for k in range(3))
    distance = np.sqrt(squared) - radius[:, None].astype(np.float32)
    index = centre[:, None] + offsets[None]
    keep = ((index >= 0) & (index < shape)).all(axis=-1) & (distance < spacing.mean())
    flat = np.ravel_multi_index(tuple(index[keep].T), tuple(shape))
    return flat, distance[keep]


def _box(tubes, shape, affine) -> tuple[slice, ...]:
    """Voxels that the tubes can touch."""
    points = np.concatenate([tube.points_mm for tube in tubes])
    margin = max(float(tube.radius_mm.max()) for tube in tubes) + np.diag(affine)[:3]
    low = np.floor((points.min(0) - margin - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    high = np.ceil((points.max(0) + margin - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    low, high = np.clip(low, 0, shape), np.clip(high + 1, 0, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _blocks(fine: np.ndarray, part, subvoxels: int) -> np.ndarray:
    """A flat fine grid as (x, n, y, n, z, n): voxels, and their parts along each axis."""
    return fine.reshape([size for count in part for size in (count, subvoxels)])


def _deepest(gap, nearest, part, subvoxels) -> np.ndarray:
    """Value (x, y, z) of the tube that each voxel's deepest part belongs to."""
    gaps, values = _blocks(gap, part, subvoxels), _blocks(nearest, part, subvoxels)
    deepest, owner = np.full(part, np.inf, np.float32), np.zeros(part, np.uint8)
    for i, j, k in np.ndindex(subvoxels, subvoxels, subvoxels):
        here = gaps[:, i, :, j, :, k]
        deeper = here < deepest
        deepest[deeper] = here[deeper]
        owner[deeper] = values[:, i, :, j, :, k][deeper]
    return owner
