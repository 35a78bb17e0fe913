"""The centreline of a scan without masks: a bright tube as wide as a dural sac.

On T2 the sac is the one bright structure of 12 to 20 mm across, darker all around, that runs
through every axial slice of a spine; cord and roots lie inside it. So the search first asks of
every voxel how much it looks like the middle of such a tube (`sac_evidence`), then takes the best
smooth path from the lowest slice to the highest (`best_path`), and at last moves each point to the
middle of the outline found around it (`recentre`). Every step works in mm and on local contrast:
neither the intensity scale nor the voxel size matters.
"""

import numpy as np
from scipy import ndimage

from spinalroots.errors import InputError
from spinalroots.imaging.centreline import Centreline, smooth
from spinalroots.imaging.centreline_mask import PROGRAM, available, trace_with_sct
from spinalroots.imaging.outline import centroids, outlines
from spinalroots.imaging.resample import resample_axis, to_resampled
from spinalroots.imaging.volume import Volume
from spinalroots.settings.dataset import CentrelineSearch

SPOT_SCALES_MM = (4.0, 5.5, 7.0)
"""Standard deviations of the spot filter: about the radius of a disc over the square root of 2."""
SPOT_AT_ALL = 0.1
"""Share of the strongest spot below which a place is not looked at any further."""
SPOT_ENOUGH = 0.3
"""Share of the strongest spot from which on a place counts as round in full."""
SURROUNDINGS_MM = 40.0
"""Reach of the local mean that the image is divided by: evens out coil sensitivity."""
TISSUE = 0.5
"""Share of the mean below which a voxel is air: how much of it a scan shows must not matter."""
BRIGHT_PERCENTILE = 94
"""Of the tissue's voxels; CSF and fat lie above it, so that fat cannot outshine CSF."""
MIDDLE_MM = 50.0
"""Spread of the sac about the middle, left to right: scans are centred on the spine."""
DARK_PERCENTILE = 1
"""Of the voxels; below zero it is the grey value of air. Lone outliers lie below it."""
ALONG_MM = 4.0
"""Smoothing along the spine against noise."""
RAYS = 16
"""Directions in the axial plane in which the tube must end."""
RAY_RADII_MM = np.arange(2.0, 15.0, 2.0)
"""Samples of a ray; the edge is looked for between 5 and 11 mm."""
BEND_COST = 0.1
"""Cost of a step of one working voxel aside per slice, in units of full evidence. A sacral canal
that lies at 50 degrees shows half the evidence, or less: from 0.15 on, steep ones are left; below
0.08 bright fat on another slope attracts the path."""
STEP_VOX = 2
"""Largest step aside per working slice: 63 degrees."""
RECENTRING_ROUNDS = 2


def find(scan: Volume, search: CentrelineSearch) -> Centreline:
    """Centreline of a T2 scan (X, Y, Z) in RAS+ without any mask.

    `search.method` `auto` takes the Spinal Cord Toolbox where it is on the PATH and finds a line,
    otherwise :func:`trace`; `sct` insists on it; `image` never looks for it.

    :raises InputError: `sct` and the toolbox is not there, or finds nothing.
    """
    if search.method != "image":
        there = available()
        line = trace_with_sct(scan, stiffness_mm=search.stiffness_mm) if there else None
        if line is not None:
            return line
        if search.method == "sct":
            raise InputError(
                "centreline.method sct",
                expected=f"{PROGRAM} on the PATH, and a line found by it",
                found="no line" if there else "no such program",
                fix="Install the Spinal Cord Toolbox, or set centreline.method to image.",
            )
    return trace(scan, stiffness_mm=search.stiffness_mm, search_mm=search.search_mm)


def trace(scan: Volume, *, stiffness_mm: float = 6.0, search_mm: float = 2.0) -> Centreline:
    """Our own centreline of a T2 scan (X, Y, Z) in RAS+, a point a slice.

    :param stiffness_mm: waves shorter than about six times this are smoothed away.
    :param search_mm: voxel edge of the grid that the search works on.
    """
    work = scan.data
    for axis in range(3):
        work = resample_axis(work, axis, scan.spacing_mm[axis], search_mm)
    image = even_out(work, search_mm)
    evidence = sac_evidence(image, search_mm)
    path = best_path(evidence)
    strength = evidence[path[:, 0], path[:, 1], np.arange(len(path))]
    path = smooth(path, 0.05 + strength, stiffness_mm / search_mm)
    for _ in range(RECENTRING_ROUNDS):
        path = recentre(image, path, search_mm, stiffness_mm)
    slices = np.arange(scan.data.shape[2])
    heights = to_resampled(slices, scan.spacing_mm[2], search_mm)
    numbers = np.arange(len(path))
    columns = [
        to_resampled(np.interp(heights, numbers, path[:, axis]), search_mm, scan.spacing_mm[axis])
        for axis in (0, 1)
    ]
    return Centreline.from_slices(np.column_stack([*columns, slices]), scan.affine, "image")


def even_out(image: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Image (X, Y, Z) over its wide surroundings, 0..1: slow shading and the scale are gone.

    An image that lies below zero as a whole was stored with an offset, which is taken off.
    """
    image = np.maximum(image - min(float(np.percentile(image, DARK_PERCENTILE)), 0.0), 0)
    level = ndimage.gaussian_filter(image, SURROUNDINGS_MM / spacing_mm, mode="nearest")
    even = image / (level + level.max() + 1e-6)
    tissue = even[even > TISSUE * even.mean()]
    return np.clip(even / max(float(np.percentile(tissue, BRIGHT_PERCENTILE)), 1e-6), 0, 1)


def sac_evidence(image: np.ndarray, spacing_mm: float) -> np.ndarray:
    """How much each voxel looks like the middle of a sac: (X, Y, Z) float32 in 0..1.

    The product of two things that fat, vessels and discs seldom have together. A spot: the smaller
    of the two principal curvatures in the axial plane at the scale where it is largest (Lindeberg's
    scale-normalised Hessian), nought for a plate such as the fat below the skin. An end to all
    sides: along a ray, bright for 2 mm and then dark for 4; the mean over the weaker half of the
    rays.
    """
    along = ndimage.gaussian_filter1d(image, ALONG_MM / spacing_mm, axis=2, mode="nearest")
    spots = _spots(along, spacing_mm)
    candidates = np.argwhere(spots > SPOT_AT_ALL)
    evidence = np.zeros(image.shape, np.float32)
    ends = _ends_to_all_sides(along, candidates, spacing_mm)
    evidence[tuple(candidates.T)] = ends
    evidence *= np.clip(spots / SPOT_ENOUGH, 0, 1)
    aside_mm = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * spacing_mm
    evidence *= np.exp(-0.5 * (aside_mm / MIDDLE_MM) ** 2).astype(np.float32)[:, None, None]
    return np.clip(evidence / max(float(np.percentile(evidence, 99.9)), 1e-6), 0, 1)


def _spots(image: np.ndarray, spacing_mm: float) -> np.ndarray:
    best = np.zeros_like(image)
    for scale_mm in SPOT_SCALES_MM:
        sigma = scale_mm / spacing_mm
        xx, yy, xy = (
            sigma**2
            * ndimage.gaussian_filter(image, (sigma, sigma, 0), order=order, mode="reflect")
            for order in ((2, 0, 0), (0, 2, 0), (1, 1, 0))
        )
        np.maximum(best, -(0.5 * (xx + yy) + np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)), out=best)
    return best / max(float(np.percentile(best, 99.9)), 1e-6)


def _ends_to_all_sides(image: np.ndarray, voxels: np.ndarray, spacing_mm: float) -> np.ndarray:
    """For each voxel (N, 3): the weaker half of its rays' drops from bright to dark.

    A sample of a ray lies as far from every voxel, so one set of weights serves them all.
    """
    margin = int(np.ceil(RAY_RADII_MM[-1] / spacing_mm)) + 1
    around = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    start = np.ravel_multi_index(tuple((voxels + np.array([margin, margin, 0])).T), around.shape)
    grey = around.ravel()
    step = np.array([around.shape[1], 1]) * around.shape[2]
    drops = np.empty((RAYS, len(voxels)), np.float32)
    for number, angle in enumerate(np.arange(RAYS) * (2 * np.pi / RAYS)):
        aside = np.outer(RAY_RADII_MM / spacing_mm, (np.cos(angle), np.sin(angle)))
        ray = np.stack([_interpolated(grey, start, step, shift) for shift in aside])
        inside = np.minimum(ray[:-3], ray[1:-2])
        outside = (ray[2:-1] + ray[3:]) / 2
        drops[number] = (inside - outside).max(axis=0)
    weaker = np.sort(drops, axis=0)[: RAYS // 2]
    return np.maximum(weaker.mean(axis=0), 0)


def _interpolated(
    grey: np.ndarray, start: np.ndarray, step: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Grey values (N,) float32 at `shift` (2,) voxels in plane from the voxels `start` (N,) of the
    flat volume `grey`, bilinear; `step` (2,) leads to the next voxel of either axis."""
    whole = np.floor(shift).astype(int)
    part = shift - whole
    value = np.zeros(len(start), np.float32)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.prod(np.where(corner, part, 1 - part))
        if weight > 1e-9:
            value += np.float32(weight) * grey[start + (whole + corner) @ step]
    return value


def best_path(evidence: np.ndarray) -> np.ndarray:
    """The path (Z, 2) in voxels, one point a slice, with the most evidence and the fewest bends.

    Dynamic programming: the global optimum of ``Σ evidence - BEND_COST Σ step²`` over all paths
    whose steps stay within STEP_VOX.
    """
    width, depth, slices = evidence.shape
    reach = range(-STEP_VOX, STEP_VOX + 1)
    steps = sorted(((dx, dy) for dx in reach for dy in reach), key=lambda d: d[0] ** 2 + d[1] ** 2)
    total = evidence[:, :, 0].astype(np.float64)
    came_by = np.zeros((slices, width, depth), np.int8)
    for index in range(1, slices):
        padded = np.pad(total, STEP_VOX, constant_values=-np.inf)
        best = np.full((width, depth), -np.inf)
        for number, (dx, dy) in enumerate(steps):
            x, y = STEP_VOX + dx, STEP_VOX + dy
            candidate = padded[x : x + width, y : y + depth] - BEND_COST * (dx * dx + dy * dy)
            better = candidate > best
            best[better] = candidate[better]
            came_by[index][better] = number
        total = best + evidence[:, :, index]
    path = np.zeros((slices, 2), int)
    path[-1] = np.unravel_index(int(total.argmax()), total.shape)
    for index in range(slices - 1, 0, -1):
        path[index - 1] = path[index] + steps[came_by[index, path[index, 0], path[index, 1]]]
    return path


def recentre(
    image: np.ndarray, path: np.ndarray, spacing_mm: float, stiffness_mm: float
) -> np.ndarray:
    """Path (Z, 2) in voxels moved to the middle of the sac's outline in every slice."""
    radii_mm, strength = outlines(image, path, spacing_mm)
    moved = path + centroids(radii_mm) / spacing_mm
    return smooth(moved, 0.05 + strength, stiffness_mm / spacing_mm)
