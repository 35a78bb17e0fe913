"""Where the cord ends, from the image alone: one point on the centreline of a whole scan.

In T2 the middle of the sac is dark as long as there is cord, and bright below. That step is found
on the whole scan, once; a part of the scan, or a bent copy of it, inherits the point. Sought in a
crop again it would be wherever the crop ends.
"""

from dataclasses import dataclass

import numpy as np

from spinalroots.imaging.boxes import centreline_box
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.slices import cut, place
from spinalroots.imaging.volume import Volume

VOXEL_MM = 1.0
"""In-plane voxel size of the squares that are looked at."""


@dataclass(frozen=True)
class Conus:
    """How the end of the cord is found.

    :param core_mm: radius around the centreline of what is surely cord above the conus.
    :param sac_mm: radius of what surely has CSF in it.
    :param around_mm: radius within which the darkest is taken for black; it holds the sac's wall.
    :param bright_percentile: of the grey values within `sac_mm`; it stands for CSF.
    :param least_step: a smaller step in relative brightness is none: the conus is not in view.
    :param bright: relative brightness (median) that the part below a conus has at least.
    :param tip_mm: how far below the step the cord's tip lies: further down it is too thin to be
        seen. Median of the nine training and validation phantoms of the default run, of which the
        nearest and the furthest were at 23 and 37 mm.
    """

    core_mm: float = 1.0
    sac_mm: float = 7.0
    around_mm: float = 9.0
    bright_percentile: float = 90.0
    least_step: float = 0.15
    bright: float = 0.75
    tip_mm: float = 27.0


def find_conus(scan: Volume, centreline: Centreline, rule: Conus) -> np.ndarray:
    """The tip of the cord (3,), RAS+ mm, on the centreline of a whole scan (RAS+ axes).

    Where it is not in view, the end of the line beyond which it lies.
    """
    grid = scan.grid
    box = centreline_box(centreline, grid, (rule.around_mm + 2) / grid.spacing_mm[:2] + 2)
    part = grid.crop(box)
    squares = place(part, centreline, 2 * rule.around_mm + 1, VOXEL_MM)
    profile = core_brightness(cut(scan.data[box], squares), VOXEL_MM, rule)
    step: float = conus_slice(profile, rule)
    if 0 < step < len(profile):
        step = max(0.0, step - rule.tip_mm / part.spacing_mm[2])
    return centreline.at_slice(step, part)


def core_brightness(image: np.ndarray, voxel_mm: float, rule: Conus) -> np.ndarray:
    """Brightness (Z,) of the core of squares (S, S, Z) relative to the bright part of the sac.

    0 is the darkest of what lies around the line in the whole scan. Each slice is its own reference
    for bright, so that a bias field along the axis cancels.
    """
    offset = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * voxel_mm
    radius = np.hypot(offset[:, None], offset[None, :])
    dark, light = np.percentile(image[radius <= rule.around_mm], (2, 98))
    core = image[radius <= max(rule.core_mm, voxel_mm)].mean(axis=0) - dark
    bright = np.percentile(image[radius <= rule.sac_mm], rule.bright_percentile, axis=0) - dark
    return (core / np.maximum(bright, max(0.2 * (light - dark), 1e-6))).clip(0, 1.5)


def conus_slice(brightness: np.ndarray, rule: Conus) -> int:
    """The slice at which a profile (Z,), from inferior to superior, steps down the most.

    The best two-level fit, bright below and dark above. Without a clear step the conus lies beyond
    the end: below the first slice of a dark profile, above the last of a bright one.
    """
    count = len(brightness)
    if count > 1:
        edge = np.arange(1, count)
        summed = np.cumsum(brightness)
        below = summed[:-1] / edge
        above = (summed[-1] - summed[:-1]) / (count - edge)
        step = below - above
        gain = edge * (count - edge) * np.maximum(step, 0) ** 2
        best = int(gain.argmax())
        bright = np.median(brightness[: best + 1]) >= rule.bright
        if step[best] >= rule.least_step and bright:
            return best + 1
    return 0 if np.median(brightness) < rule.bright else count
