"""The centreline of a scan without masks: a bright tube as wide as a dural sac.

On T2 the sac is the only bright structure of 12 to 20 mm across that runs through every axial slice
of a spine. Smoothed at that size, cord and roots inside it vanish, so that one filter serves above
and below the conus. Every step works in mm and on local contrast, so that neither the scanner's
intensity scale nor the voxel size matters.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.curves import smooth
from spinalroots.imaging.resample import resample_axis, to_resampled
from spinalroots.imaging.volume import Volume

WORK_MM = 2.0
"""Voxel edge of the grid that the search works on."""
SAC_SCALES_MM = (4.0, 5.5, 7.0)
"""Standard deviations of the blob filters: about the radius of a disc over the square root of 2."""
ALONG_MM = 8.0
"""Smoothing along the spine: a tube goes on, a disc or a vessel's bend does not."""
SURROUNDINGS_MM = 25.0
"""Reach of the local mean that the image is divided by: evens out coil sensitivity."""
BEND_COST = 0.15
"""Cost of a step of one working voxel aside per slice, in units of full evidence."""
STEP_VOX = 2
"""Largest step aside per working slice: 63 degrees."""


def find(scan: Volume, *, stiffness_mm: float = 6.0) -> Centreline:
    """Centreline of a T2 scan (X, Y, Z) in RAS+, a point for every axial slice.

    :param stiffness_mm: waves shorter than about six times this are smoothed away.
    """
    work = scan.data
    for axis in range(3):
        work = resample_axis(work, axis, scan.spacing_mm[axis], WORK_MM)
    evidence = sac_evidence(work, WORK_MM)
    path = best_path(evidence)
    strength = np.take_along_axis(
        evidence.reshape(-1, evidence.shape[2]),
        np.ravel_multi_index(path.T, evidence.shape[:2])[None],
        axis=0,
    )[0]
    path = smooth(path, 0.05 + strength, stiffness_mm / WORK_MM)
    slices = np.arange(scan.data.shape[2])
    heights = to_resampled(slices, scan.spacing_mm[2], WORK_MM)
    columns = [
        to_resampled(
            np.interp(heights, np.arange(len(path)), path[:, axis]),
            WORK_MM,
            scan.spacing_mm[axis],
        )
        for axis in (0, 1)
    ]
    return Centreline.from_slices(np.column_stack([*columns, slices]), scan.affine, "image")


def sac_evidence(image: np.ndarray, spacing_mm: float) -> np.ndarray:
    """How much each voxel looks like the middle of a sac: (X, Y, Z) float32 in 0..1.

    The smaller of the two principal curvatures in the axial plane, at the scale where it is
    largest (Lindeberg's scale-normalised Hessian): high for a bright spot, nought for a plate.
    """
    level = ndimage.gaussian_filter(image, SURROUNDINGS_MM / spacing_mm, mode="nearest")
    contrast = np.clip(image / (level + 0.1 * level.mean() + 1e-6), 0, 4)
    along = ndimage.gaussian_filter1d(contrast, ALONG_MM / spacing_mm, axis=2, mode="nearest")
    best = np.zeros_like(along)
    for scale_mm in SAC_SCALES_MM:
        sigma = scale_mm / spacing_mm
        xx, yy, xy = (
            sigma**2
            * ndimage.gaussian_filter(along, (sigma, sigma, 0), order=order, mode="reflect")
            for order in ((2, 0, 0), (0, 2, 0), (1, 1, 0))
        )
        least = -(0.5 * (xx + yy) + np.sqrt(0.25 * (xx - yy) ** 2 + xy**2))
        np.maximum(best, least, out=best)
    return (best / max(float(np.percentile(best, 99.9)), 1e-6)).clip(0, 1)


def best_path(evidence: np.ndarray) -> np.ndarray:
    """The path (Z, 2) in voxels, one point a slice, with the most evidence and the fewest bends.

    Dynamic programming: the global optimum of ``Σ evidence - BEND_COST Σ step²`` over all paths
    whose steps stay within STEP_VOX.
    """
    width, depth, slices = evidence.shape
    steps = [
        (dx, dy) for dx in range(-STEP_VOX, STEP_VOX + 1) for dy in range(-STEP_VOX, STEP_VOX + 1)
    ]
    steps.sort(key=lambda step: step[0] ** 2 + step[1] ** 2)
    total = evidence[:, :, 0].astype(np.float64)
    cameby = np.zeros((slices, width, depth), np.int8)
    for index in range(1, slices):
        padded = np.pad(total, STEP_VOX, constant_values=-np.inf)
        best = np.full((width, depth), -np.inf)
        for number, (dx, dy) in enumerate(steps):
            start_x, start_y = STEP_VOX + dx, STEP_VOX + dy
            candidate = padded[start_x : start_x + width, start_y : start_y + depth]
            candidate = candidate - BEND_COST * (dx * dx + dy * dy)
            better = candidate > best
            best[better] = candidate[better]
            cameby[index][better] = number
        total = best + evidence[:, :, index]
    path = np.zeros((slices, 2), int)
    path[-1] = np.unravel_index(int(total.argmax()), total.shape)
    for index in range(slices - 1, 0, -1):
        path[index - 1] = path[index] + steps[cameby[index, path[index, 0], path[index, 1]]]
    return path
