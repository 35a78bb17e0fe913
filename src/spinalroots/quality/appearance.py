"""What a scan looks like along its centreline, and whether the training scans looked like that.

A network answers for scans like those that it was trained on. A few features with a name and a
meaning are measured on every training scan; a scan that leaves their range by more than the range
is wide is called unlike them. All are ratios or lengths: neither the scale nor the zero of the grey
values matters.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from spinalroots.errors import InputError
from spinalroots.files import read_json, write_json
from spinalroots.imaging.boxes import centreline_box
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.outline import DIRECTIONS, outlines
from spinalroots.imaging.resample import resample_axis, to_resampled
from spinalroots.imaging.volume import Volume

FILE = "appearance.json"
"""Name of the training scans' record, beside the models."""
WORK_MM = 1.0
"""Cubic voxels on which the sac's outline is looked for."""
REACH_MM = 22.0
"""Half the edge of the box around the centreline that is looked at."""
SAC_MM = 6.0
"""Voxels nearer to the centreline than this lie in the sac, whose radius is 6.5 to 10.5 mm."""
AROUND_MM = (11.0, 18.0)
"""Distance from the centreline of what surrounds the sac: bone, ligament, disc, fat."""
CORE_MM, RIM_MM = 2.5, (4.0, 6.5)
"""Where the cord lies in the sac, and the fluid around it."""
CORD_DROP = 0.15
"""A slice shows the cord when its core is darker than its rim by this share of the fluid."""
ACROSS_MM = np.arange(-4.0, 4.1, 0.5)
"""Distances from the outline that its profile is sampled at, inside to outside."""
DARK_PERCENTILE, FLUID_PERCENTILE = 1, 90
"""Of the whole scan, taken as zero; of the sac, taken as the signal of CSF."""


@dataclass(frozen=True)
class Feature:
    """One thing that is measured: its JSON `name`, what a person calls it, its `unit` (or none).

    `slack`: the least that counts as a departure, as a factor (`ratio`) or a difference. It keeps
    a handful of much alike training scans from making everything else look odd.
    """

    name: str
    words: str
    unit: str
    slack: float
    ratio: bool = True

    def allowed(self, values: list[float]) -> tuple[float, float]:
        """The range of `values`, widened on both sides by its own width, at least by the slack."""
        scale = [math.log(max(value, 1e-9)) if self.ratio else value for value in values]
        slack = math.log(self.slack) if self.ratio else self.slack
        margin = max(max(scale) - min(scale), slack)
        low, high = min(scale) - margin, max(scale) + margin
        return (math.exp(low), math.exp(high)) if self.ratio else (low, high)


FEATURES = (
    Feature("in_plane_mm", "the voxels' edge within a slice", "mm", 1.25),
    Feature("slice_mm", "the slice thickness", "mm", 1.25),
    Feature("length_mm", "the length of spine that is shown", "mm", 1.25),
    Feature("noise", "the noise over the signal of the fluid", "", 1.5),
    Feature("contrast", "the contrast between the sac and what is around it", "", 0.1, False),
    Feature("sharpness", "the steepness of the sac's edge", "per mm", 1.25),
    Feature("sac_width_mm", "the width of the sac", "mm", 1.25),
    Feature("cord_share", "the share of slices that show a cord in the sac", "", 0.15, False),
)
"""Everything that is measured, in the order of reports."""


@dataclass(frozen=True)
class Departure:
    """A `value` of a feature beyond `limit`; the training scans have `least` to `most`."""

    feature: Feature
    value: float
    limit: float
    least: float
    most: float


def measure(scan: Volume, centreline: Centreline) -> dict[str, float]:
    """Feature name → value for a scan (X, Y, Z) in RAS+ with its centreline in mm.

    - `in_plane_mm`: geometric mean of the two smaller voxel edges; `slice_mm`: the largest edge.
    - `length_mm`: extent along the superior axis.
    - `noise`: spread of second differences, divided by √6 (white noise of spread σ gives σ), along
      the axis where it is least, over the signal of CSF; a median absolute deviation times 1.4826.
    - `contrast`: (CSF − surroundings) ÷ (CSF + surroundings), medians, over the scan's dark level.
    - `sharpness`: steepest slope of the mean profile across the sac's outline over its drop.
    - `sac_width_mm`: median over slices of the diameter of the outline's mean square radius.
    - `cord_share`: share of slices whose core is darker than its rim.

    What cannot be measured, as on a scan that is hardly wider than the sac, is NaN.
    """
    edges = np.sort(scan.spacing_mm)
    found = {
        "in_plane_mm": float(np.sqrt(edges[0] * edges[1])),
        "slice_mm": float(edges[2]),
        "length_mm": float(scan.spacing_mm[2] * scan.data.shape[2]),
    }
    zero = np.percentile(scan.data, DARK_PERCENTILE)
    data, places = _around(scan, centreline)
    data = data - zero
    distance_mm = _distances_mm(data.shape, places, scan.spacing_mm)
    sac = distance_mm < SAC_MM
    fluid = np.percentile(data[sac], FLUID_PERCENTILE) if sac.any() else np.nan
    if not fluid > 0:
        return found | {feature.name: math.nan for feature in FEATURES[3:]}
    width_mm, sharpness = _edge(data, places, scan.spacing_mm)
    found |= {
        "noise": _noise(data, sac) / fluid,
        "contrast": _contrast(data, distance_mm, fluid),
        "sharpness": sharpness,
        "sac_width_mm": width_mm,
        "cord_share": _cord_share(data, distance_mm, fluid),
    }
    return {name: float(value) for name, value in found.items()}


def departures(
    measured: dict[str, float], training: dict[str, dict[str, float]]
) -> list[Departure]:
    """The features of a scan that lie beyond the allowed range of the training scans'.

    :param measured: of :func:`measure`. What could not be measured (NaN) counts as a departure.
    :param training: case → its features, at least one case.
    """
    found = []
    for feature in FEATURES:
        seen = [case[feature.name] for case in training.values() if _known(case[feature.name])]
        if not seen:
            continue
        low, high = feature.allowed(seen)
        value = measured[feature.name]
        if not low <= value <= high:
            limit = low if value < low else high
            found.append(Departure(feature, value, limit, min(seen), max(seen)))
    return found


def write(path: Path, training: dict[str, dict[str, float]]) -> None:
    """Write case → features as JSON; what could not be measured is null."""
    cases = {case: as_json(found) for case, found in sorted(training.items())}
    write_json(path, {"units": {one.name: one.unit for one in FEATURES}, "cases": cases})


def read(path: Path) -> dict[str, dict[str, float]]:
    """Read what :func:`write` wrote.

    :raises InputError: no such file, or another one than :func:`write` makes.
    """
    try:
        cases = read_json(path)["cases"]
        if cases and all(set(found) == {one.name for one in FEATURES} for found in cases.values()):
            return cases
        found = "other features, or no cases"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = str(error)
    raise InputError(
        path,
        expected="the features of the training scans",
        found=found,
        fix="Run `dvc repro appearance`.",
    )


def as_json(measured: dict[str, float]) -> dict[str, float | None]:
    """Features with four digits; what is not finite is None."""
    return {
        name: float(f"{value:.4g}") if _known(value) else None for name, value in measured.items()
    }


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _around(scan: Volume, centreline: Centreline) -> tuple[np.ndarray, np.ndarray]:
    """The scan within REACH_MM of the centreline, and the line's voxel (Z, 2) in each slice."""
    box = centreline_box(centreline, scan.grid, REACH_MM / scan.spacing_mm[:2])
    start = [side.start for side in box[:2]]
    return scan.data[box].astype(np.float32), centreline.in_slices(scan.grid) - start


def _distances_mm(shape: tuple[int, ...], places: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """(X, Y, Z) distance from the centreline within each axial slice."""
    right = (np.arange(shape[0])[:, None] - places[:, 0]) * spacing_mm[0]
    front = (np.arange(shape[1])[:, None] - places[:, 1]) * spacing_mm[1]
    return np.hypot(right[:, None], front[None])


def _noise(data: np.ndarray, sac: np.ndarray) -> float:
    spreads = []
    for axis in range(3):
        inner = tuple(slice(1, -1) if other == axis else slice(None) for other in range(3))
        residual = np.diff(data, 2, axis=axis)[sac[inner]] / np.sqrt(6)
        if residual.size:
            spreads.append(1.4826 * np.median(np.abs(residual - np.median(residual))))
    return min(spreads, default=math.nan)


def _contrast(data: np.ndarray, distance_mm: np.ndarray, fluid: float) -> float:
    around = data[(distance_mm > AROUND_MM[0]) & (distance_mm < AROUND_MM[1])]
    if not around.size:
        return math.nan
    outside = max(float(np.median(around)), 0.0)
    return (fluid - outside) / (fluid + outside)


def _cord_share(data: np.ndarray, distance_mm: np.ndarray, fluid: float) -> float:
    core = _slice_means(data, distance_mm < CORE_MM)
    rim = _slice_means(data, (distance_mm > RIM_MM[0]) & (distance_mm < RIM_MM[1]))
    drop = (rim - core)[np.isfinite(rim - core)] / fluid
    return float(np.mean(drop > CORD_DROP)) if drop.size else math.nan


def _slice_means(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(Z,) mean inside the mask; NaN where a slice has none of it."""
    count = mask.sum(axis=(0, 1))
    total = np.where(mask, data, 0).sum(axis=(0, 1), dtype=float)
    return np.where(count, total / np.maximum(count, 1), np.nan)


def _edge(data: np.ndarray, places: np.ndarray, spacing_mm: np.ndarray) -> tuple[float, float]:
    """The sac's width in mm and the steepness (1/mm) of its edge, on WORK_MM voxels."""
    work = data
    for axis in range(3):
        work = resample_axis(work, axis, spacing_mm[axis], WORK_MM)
    heights = to_resampled(np.arange(work.shape[2]), WORK_MM, spacing_mm[2])
    lines = [np.interp(heights, np.arange(len(places)), places[:, axis]) for axis in (0, 1)]
    moved = [to_resampled(line, spacing_mm[axis], WORK_MM) for axis, line in enumerate(lines)]
    path = np.stack(moved, axis=-1)
    radii_mm, _ = outlines(work, path, WORK_MM)
    width_mm = 2 * float(np.median(np.sqrt((radii_mm**2).mean(axis=1))))
    profile = _profile(work, path, radii_mm)
    drop = float(np.ptp(profile))
    slope = float(np.max(-np.gradient(profile, ACROSS_MM)))
    return width_mm, slope / drop if drop > 0 else math.nan


def _profile(work: np.ndarray, path: np.ndarray, radii_mm: np.ndarray) -> np.ndarray:
    """Mean grey value at each distance of ACROSS_MM from the outline, outwards."""
    angle = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    reach = (radii_mm[:, :, None] + ACROSS_MM) / WORK_MM
    along = np.broadcast_to(np.arange(len(path))[:, None, None], reach.shape)
    columns = [
        path[:, axis, None, None] + reach * direction[None, :, None]
        for axis, direction in enumerate((np.cos(angle), np.sin(angle)))
    ]
    return ndimage.map_coordinates(work, [*columns, along], order=1, mode="nearest").mean((0, 1))
