"""The outline of a bright tube around a curve, slice by slice, in polar coordinates."""

import numpy as np
from scipy import ndimage

DIRECTIONS = 24
RADII_MM = np.arange(0.5, 18.0, 0.5)
"""Samples along a ray from the curve outwards."""
EDGE_MM = (4.5, 13.0)
"""Radii between which the outline may lie: PAM50's sacs measure 13 to 21 mm across."""
EDGE_REACH = 5
"""Samples inside and outside that an edge is measured over: 2.5 mm each."""
STEP = 2
"""Largest change of the outline's radius from one direction to the next, in samples."""
ALONG_MM = 4.0
"""Smoothing of the edge's strength along the curve."""


def outlines(
    image: np.ndarray, path: np.ndarray, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Radii (Z, DIRECTIONS) in mm of the strongest closed outline, bright inside and dark outside.

    For each slice the optimal closed curve by dynamic programming over the directions. The second
    value is its mean edge strength (Z,), in units of the image.

    :param image: (X, Y, Z) with cubic voxels of `spacing_mm`.
    :param path: (Z, 2) voxel coordinates that the outline goes round.
    """
    rays = _rays(image, path, spacing_mm)
    total = np.cumsum(np.pad(rays, ((0, 0), (0, 0), (1, 0))), axis=2)
    mean = (total[:, :, EDGE_REACH:] - total[:, :, :-EDGE_REACH]) / EDGE_REACH
    drop = mean[:, :, :-EDGE_REACH] - mean[:, :, EDGE_REACH:]
    edge_mm = RADII_MM[EDGE_REACH - 1 : EDGE_REACH - 1 + drop.shape[2]] + 0.25
    allowed = (edge_mm >= EDGE_MM[0]) & (edge_mm <= EDGE_MM[1])
    drop, edge_mm = drop[:, :, allowed], edge_mm[allowed]
    drop = ndimage.gaussian_filter1d(drop, ALONG_MM / spacing_mm, axis=0, mode="nearest")
    index = _best_closed(drop)
    strength = np.take_along_axis(drop, index[:, :, None], axis=2)[:, :, 0].mean(axis=1)
    return edge_mm[index], np.maximum(strength, 0)


def centroids(radii_mm: np.ndarray) -> np.ndarray:
    """Centre of area (Z, 2) in mm, from the pole, of star-shaped outlines (Z, DIRECTIONS)."""
    angle = _angles()
    moments = np.stack([radii_mm**3 @ np.cos(angle), radii_mm**3 @ np.sin(angle)], axis=-1) / 3
    return moments / (radii_mm**2).sum(axis=1, keepdims=True) * 2


def _angles() -> np.ndarray:
    return np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)


def _rays(image: np.ndarray, path: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Intensities (Z, DIRECTIONS, radii) along the rays."""
    aside = np.stack([np.cos(_angles()), np.sin(_angles())])[:, :, None] * RADII_MM / spacing_mm
    places = path.T[:, :, None, None] + aside[:, None]
    slices = np.broadcast_to(np.arange(len(path))[:, None, None], places.shape[1:])
    return ndimage.map_coordinates(image, [*places, slices], order=1, mode="reflect")


def _best_closed(gain: np.ndarray) -> np.ndarray:
    """Index (N, directions) of the closed path of most gain (N, directions, radii).

    Twice around by dynamic programming: the second turn closes the path where the first one ends.
    """
    count, directions, radii = gain.shape
    shifts = sorted(range(-STEP, STEP + 1), key=abs)
    total = np.zeros((count, radii))
    came_by = np.zeros((2 * directions, count, radii), int)
    for turn in range(2 * directions):
        padded = np.pad(total, ((0, 0), (STEP, STEP)), constant_values=-np.inf)
        options = np.stack([padded[:, STEP + shift : STEP + shift + radii] for shift in shifts])
        choice = options.argmax(axis=0)
        came_by[turn] = np.asarray(shifts)[choice]
        best = np.take_along_axis(options, choice[None], axis=0)[0]
        total = best + gain[:, turn % directions]
    place = total.argmax(axis=1)
    everyone = np.arange(count)
    index = np.zeros((count, directions), int)
    for turn in range(2 * directions - 1, directions - 1, -1):
        index[:, turn - directions] = place
        place = place + came_by[turn, everyone, place]
    return index
