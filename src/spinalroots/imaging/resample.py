"""Changing the voxel size along single axes, voxel edges kept where they are."""

from functools import lru_cache

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.limits import MAX_VOXELS

SAME_SPACING = 1e-4
"""Two voxel sizes are the same when they differ by less than this share: nothing is resampled."""


def resampled_length(length: int, spacing_mm: float, wanted_mm: float) -> int:
    """Number of voxels of `wanted_mm` that cover `length` voxels of `spacing_mm`."""
    if same_spacing(spacing_mm, wanted_mm):
        return length
    return max(1, int(np.ceil(length * spacing_mm / wanted_mm - SAME_SPACING)))


def same_spacing(first_mm: float, second_mm: float) -> bool:
    """Whether two voxel sizes count as equal."""
    return abs(first_mm / second_mm - 1) < SAME_SPACING


def to_resampled(coordinate: np.ndarray, spacing_mm: float, wanted_mm: float) -> np.ndarray:
    """Voxel coordinate (centres at whole numbers) of the same point after resampling."""
    if same_spacing(spacing_mm, wanted_mm):
        return np.asarray(coordinate, float)
    return (np.asarray(coordinate, float) + 0.5) * (spacing_mm / wanted_mm) - 0.5


def resample_axis(
    data: np.ndarray,
    axis: int,
    spacing_mm: float,
    wanted_mm: float,
    length: int | None = None,
    *,
    nearest: bool = False,
) -> np.ndarray:
    """`data` with voxels of `wanted_mm` instead of `spacing_mm` along `axis`.

    Linear interpolation, averaging when voxels grow (a triangle as wide as the new voxel);
    `nearest` copies the nearest voxel instead, for labels. The first voxel's outer edge stays in
    place. Equal sizes and length return the very same values.

    :param length: voxels of the result (default: enough to cover the data).
    :raises InputError: the result's last three axes would hold more than `MAX_VOXELS`.
    """
    count = data.shape[axis]
    length = length or resampled_length(count, spacing_mm, wanted_mm)
    _require_bearable(np.prod(data.shape[-3:], dtype=float) / count * length, spacing_mm, wanted_mm)
    if same_spacing(spacing_mm, wanted_mm) and length == count:
        return data
    centres = to_resampled(np.arange(length), wanted_mm, spacing_mm)
    if nearest:
        index = np.clip(np.ceil(centres - 0.5).astype(int), 0, count - 1)
        return np.take(data, index, axis=axis)
    weights = _triangle_weights(count, tuple(centres), max(1.0, wanted_mm / spacing_mm))
    return _weighted(weights, data.astype(np.float32, copy=False), axis % data.ndim)


def _weighted(weights: np.ndarray, data: np.ndarray, axis: int) -> np.ndarray:
    """`weights` (M, N) times `data` along `axis` of length N, each part where it lies."""
    before, after = data.shape[:axis], data.shape[axis + 1 :]
    if not after:
        return data @ weights.T
    rows = data.reshape(int(np.prod(before)), data.shape[axis], int(np.prod(after)))
    return np.matmul(weights, rows).reshape(*before, len(weights), *after)


def _require_bearable(voxels: float, spacing_mm: float, wanted_mm: float) -> None:
    if voxels > MAX_VOXELS:
        raise InputError(
            "scan, resampled",
            expected=f"at most {MAX_VOXELS // 10**6} million voxels of {wanted_mm:g} mm",
            found=f"{voxels:.3g}, from voxels of {spacing_mm:g} mm",
            fix="Crop the scan to the lower spine, or look at its voxel size.",
        )


@lru_cache(maxsize=32)
def _triangle_weights(count: int, centres: tuple[float, ...], reach: float) -> np.ndarray:
    """(len(centres), count) float32: rows add up to one, edge voxels repeat beyond the ends."""
    wanted = np.clip(np.asarray(centres), 0, count - 1)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(count)[None, :] - wanted) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
