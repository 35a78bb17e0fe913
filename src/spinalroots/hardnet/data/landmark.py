"""Where along the cord a slice lies, from the image alone: its height above the conus.

Which level a root has cannot be seen in a slice; it depends on how far the end of the cord is. In
T2 the middle of the sac is dark as long as there is cord, and bright below. That step between them
is found in the straightened scan and every slice gets its distance to it as an extra channel.
"""

from __future__ import annotations

import numpy as np

CORE_MM, SAC_MM = 2.0, 7.0
"""Radii around the centreline: surely cord above the conus, and surely with CSF in it."""

LEAST_STEP = 0.25
"""A smaller step in relative brightness is none: the conus is not in view."""

UNIT_MM = 100.0
"""Heights are given in this unit, so that the channel is of the order of one."""

LIMIT = 2.0
"""Heights are clipped to ± this many units."""


def heights(image: np.ndarray, voxel_mm: float, slice_mm: float) -> np.ndarray:
    """Height (Z,) float32 of each slice of a stack (S, S, Z) above the conus, in `UNIT_MM`."""
    slices = np.arange(image.shape[2]) - conus_slice(core_brightness(image, voxel_mm))
    return (slices * slice_mm / UNIT_MM).clip(-LIMIT, LIMIT).astype(np.float32)


def core_brightness(image: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Brightness (Z,) of the core relative to the bright part of the sac around it.

    Each slice is its own reference, so that a bias field along the axis cancels.
    """
    offset = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * voxel_mm
    radius = np.hypot(offset[:, None], offset[None, :])
    core = image[radius <= max(CORE_MM, voxel_mm)].mean(axis=0)
    bright = np.percentile(image[radius <= SAC_MM], 90, axis=0)
    return (core / np.maximum(bright, 0.2)).clip(0, 1.5)


def conus_slice(brightness: np.ndarray) -> int:
    """The slice at which a profile (Z,), from inferior to superior, steps down the most.

    The best two-level fit, bright below and dark above. Without a clear step the conus lies beyond
    the end: below the first slice of a dark profile, above the last of a bright one.
    """
    count = len(brightness)
    edge = np.arange(1, count)
    summed = np.cumsum(brightness)
    below = summed[:-1] / edge
    above = (summed[-1] - summed[:-1]) / (count - edge)
    step = below - above
    gain = edge * (count - edge) * np.maximum(step, 0) ** 2
    best = int(gain.argmax()) if count > 1 else 0
    if count > 1 and step[best] >= LEAST_STEP:
        return best + 1
    return 0 if np.median(brightness) < 0.75 else count
