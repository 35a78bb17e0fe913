"""Signed distances (mm, negative inside), the share of a voxel they fill, and smooth noise."""

import numpy as np
from scipy.ndimage import gaussian_filter


def share(distance: np.ndarray, edge_mm: float) -> np.ndarray:
    """Share (0..1) of a voxel of width `edge_mm` that lies inside a surface.

    >>> float(share(np.array(0.0), 1.0))
    0.5
    """
    return np.clip(np.float32(0.5) - distance * np.float32(1 / edge_mm), 0, 1)


def ellipse(u, v, a, b, centre=0.0, power: float = 2.0) -> np.ndarray:
    """Distance to an ellipse (or, with a higher power, a rounded box) around v = `centre`."""
    level = np.abs(u / a) ** power + np.abs((v - centre) / b) ** power + np.float32(1e-6)
    return (level ** np.float32(1 / power) - 1) * np.minimum(a, b)


def box(*parts: tuple[np.ndarray, float, float]) -> np.ndarray:
    """Distance to a box: for every axis its coordinate, the box's centre and half its width."""
    distance = None
    for coordinate, centre, half in parts:
        side = np.abs(coordinate - centre) - half
        distance = side if distance is None else np.maximum(distance, side)
    return distance


def smooth(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, without corners in between."""
    way = np.clip((value - low) / (high - low), 0, 1)
    return way * way * (3 - 2 * way)


def clouds(rng: np.random.Generator, shape, spacing_mm, size_mm) -> np.ndarray:
    """Smooth noise of unit spread (X, Y, Z), float32; `size_mm`: its grain along each axis."""
    size = np.broadcast_to(np.asarray(size_mm, float), 3)
    step = np.maximum(size / 2, spacing_mm)
    coarse = np.maximum(4, np.ceil(np.asarray(shape) * spacing_mm / step).astype(int) + 2)
    noise = rng.standard_normal(coarse, np.float32)
    noise = gaussian_filter(noise, size / step / 2)
    grown = stretched(noise, shape)
    return (grown - grown.mean()) / grown.std()


def stretched(values: np.ndarray, shape) -> np.ndarray:
    """`values` (A, B, C) on a grid of `shape` with the same corners, linear between them; float32.

    >>> stretched(np.array([[[0.0, 1.0]]] * 2).repeat(2, axis=1), (2, 2, 3))[0, 0].tolist()
    [0.0, 0.5, 1.0]
    """
    for axis in (2, 1):
        lower, way = _between(values.shape[axis], shape[axis])
        way = way[:, None] if axis == 1 else way
        low, high = values.take(lower, axis), values.take(lower + 1, axis)
        values = low + way * (high - low)
    grown = np.empty(shape, np.float32)
    for row, (lower, way) in enumerate(zip(*_between(len(values), shape[0]), strict=True)):
        grown[row] = values[lower] + way * (values[lower + 1] - values[lower])
    return grown


def _between(count: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """For `wanted` even places along `count` samples: the sample before each, and the way on."""
    at = np.linspace(0, count - 1, wanted)
    lower = np.minimum(at.astype(int), count - 2)
    return lower, at - lower
