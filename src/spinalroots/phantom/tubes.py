"""Partial volume of thin tubes: how much of each voxel the roots fill, from sub-voxel distances."""

from __future__ import annotations

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
    """`share` (X, Y, Z): part of each voxel inside tubes; `owner`: value of the nearest tube (uint8)."""

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
    fine_shape = np.array(shape) * subvoxels
    spacing = np.linalg.norm(affine[:3, :3], axis=0) / subvoxels
    origin = affine[:3, 3] - np.diag(affine)[:3] / 2 + spacing / 2
    gap = np.full(fine_shape, np.inf, np.float32).ravel()
    owner = np.zeros(fine_shape, np.uint8).ravel()
    for tube in tubes:
        for points, radius in _pieces(tube, spacing):
            index, distance = _around(points, radius, origin, spacing, fine_shape)
            np.minimum.at(gap, index, distance)
            owner[index[gap[index] == distance]] = tube.value
    edge = float(spacing.mean())
    filled = np.clip(0.5 - gap / edge, 0, 1).reshape(fine_shape)
    blocks = [n for axis in shape for n in (axis, subvoxels)]
    share = filled.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
    return Filling(share, _deepest(gap, owner, blocks, shape))


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
    """Points at most `step_mm` apart along a polyline, and where they lie in units of its samples."""
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


def _deepest(gap, owner, blocks, shape) -> np.ndarray:
    """Owner (X, Y, Z) of each voxel's deepest part."""
    order = (0, 2, 4, 1, 3, 5)
    parts = gap.reshape(blocks).transpose(order).reshape(*shape, -1)
    best = parts.argmin(axis=-1)[..., None]
    owners = owner.reshape(blocks).transpose(order).reshape(*shape, -1)
    return np.take_along_axis(owners, best, axis=-1)[..., 0]
