"""Voxels that hold no picture: the border that scanners and resampling programs fill up."""

import numpy as np
from scipy import ndimage

LEAST_SHARE = 1e-3
"""Of the voxels: fewer are outliers and no filling."""
GAP = 0.25
"""A filling lies below zero, and below the picture by more than this share of its range."""


def filled_up(data: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """`data` (X, Y, Z) float with its darkest grey value where there is no picture, and what for.

    Two kinds: voxels that are no number and hang together with the border of the volume; and a
    single value far below all others, such as the -1024 of a program that thinks in CT numbers.
    NaN inside the volume stays, and so do infinite voxels.
    """
    notes = []
    nan = np.isnan(data)
    if nan.any() and not nan.all():
        border = nan & ~_inside(nan)
        if border.any():
            data = np.where(border, np.nanmin(np.where(np.isinf(data), np.nan, data)), data)
            notes.append(f"{border.mean():.1%} of the voxels, at the border, are NaN: no picture")
    value = _filling(data)
    if value is not None:
        where = data == value
        data = np.where(where, data[~where].min(), data)
        notes.append(f"{where.mean():.1%} of the voxels hold {value:g}, a filling: no picture")
    return data, tuple(notes)


def _inside(mask: np.ndarray) -> np.ndarray:
    """The parts of `mask` that do not touch the border of the volume."""
    pieces, _ = ndimage.label(mask)
    faces = [np.take(pieces, index, axis) for axis in range(3) for index in (0, -1)]
    touching = np.unique(np.concatenate([face.ravel() for face in faces]))
    return mask & ~np.isin(pieces, touching)


def _filling(data: np.ndarray) -> float | None:
    if not np.isfinite(data).all():
        return None
    lowest = data.min()
    if lowest >= 0:
        return None
    rest = data[data > lowest]
    if not rest.size or data.size - rest.size < LEAST_SHARE * data.size:
        return None
    second, top = float(rest.min()), float(np.percentile(rest, 99))
    return float(lowest) if second - lowest > GAP * (top - second) and top > second else None
