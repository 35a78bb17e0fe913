"""Where along the cord a slice lies, from the image alone: its height above the conus.

Which level a root has cannot be seen in a slice; it depends on how far the end of the cord is. In
T2 the middle of the sac is dark as long as there is cord, and bright below. That step between them
is found in the straightened scan and every slice gets its distance to it as an extra channel.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Conus:
    """How the end of the cord is found, and what heights above it are.

    :param core_mm: radius around the centreline of what is surely cord above the conus.
    :param sac_mm: radius of what surely has CSF in it.
    :param bright_percentile: of the grey values within `sac_mm`; it stands for CSF.
    :param least_step: a smaller step in relative brightness is none: the conus is not in view.
    :param bright: relative brightness from which a profile without a step lies below the conus.
    :param unit_mm: heights are given in this unit, so that the channel is of the order of one.
    :param limit: heights are clipped to ± this many units.
    """

    core_mm: float = 2.0
    sac_mm: float = 7.0
    bright_percentile: float = 90.0
    least_step: float = 0.25
    bright: float = 0.75
    unit_mm: float = 100.0
    limit: float = 2.0


def heights(image: np.ndarray, voxel_mm: float, slice_mm: float, rule: Conus) -> np.ndarray:
    """Height (Z,) float32 of each slice of a stack (S, S, Z) above the conus, in `unit_mm`."""
    conus = conus_slice(core_brightness(image, voxel_mm, rule), rule)
    height = (np.arange(image.shape[2]) - conus) * slice_mm / rule.unit_mm
    return height.clip(-rule.limit, rule.limit).astype(np.float32)


def core_brightness(image: np.ndarray, voxel_mm: float, rule: Conus) -> np.ndarray:
    """Brightness (Z,) of the core relative to the bright part of the sac around it.

    Each slice is its own reference, so that a bias field along the axis cancels.
    """
    offset = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * voxel_mm
    radius = np.hypot(offset[:, None], offset[None, :])
    core = image[radius <= max(rule.core_mm, voxel_mm)].mean(axis=0)
    bright = np.percentile(image[radius <= rule.sac_mm], rule.bright_percentile, axis=0)
    return (core / np.maximum(bright, 0.2)).clip(0, 1.5)


def conus_slice(brightness: np.ndarray, rule: Conus) -> int:
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
    if count > 1 and step[best] >= rule.least_step:
        return best + 1
    return 0 if np.median(brightness) < rule.bright else count
