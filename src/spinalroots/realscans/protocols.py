"""How a model would fare with another scanner: drawn scans as other protocols would show them.

A scan is changed, segmented, and what is found is carried back to where the drawing lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from nibabel.processing import resample_from_to
from scipy.ndimage import gaussian_filter

from spinalroots.imaging.volume import Volume, as_image
from spinalroots.predict.load import Model
from spinalroots.predict.scan import segment
from spinalroots.realscans import results
from spinalroots.realscans.naming import ROOTS
from spinalroots.realscans.reference import Reference
from spinalroots.realscans.scores import agreement

Change = Callable[[Volume, np.random.Generator], Volume]
SEED = 0
COLUMNS = {
    "changed": "the scan as",
    "model": "model",
    "roots_dice": "roots: Dice",
    "roots_bound": "the drawing itself",
    "roots_recall": "recall",
    "roots_slices_missed": "slices without a hit",
    "sac_dice": "sac",
    "cord_dice": "cord",
}


def in_voxels(*edges_mm: float) -> Change:
    """Voxels of other edges (right, front, up); a slice is the mean of what lies in it."""

    def change(scan: Volume, _: np.random.Generator) -> Volume:
        import torch
        import torchio as tio

        image = tio.ScalarImage(
            tensor=torch.from_numpy(np.ascontiguousarray(scan.data[None], np.float32)),
            affine=scan.affine,
        )
        seen = tio.Resample(edges_mm, antialias=True)(image)
        return Volume(seen.numpy()[0], seen.affine)

    return change


def noisy(share: float) -> Change:
    """Rician noise, its spread a share of the brightest voxels' grey value."""

    def change(scan: Volume, rng: np.random.Generator) -> Volume:
        spread = share * float(np.percentile(scan.data, 99.5))
        real, imaginary = rng.normal(0, spread, (2, *scan.data.shape))
        return scan.with_data(np.hypot(scan.data + real, imaginary).astype(np.float32))

    return change


def blurred(sigma_mm: float) -> Change:
    """As if the patient had moved a little."""

    def change(scan: Volume, _: np.random.Generator) -> Volume:
        return scan.with_data(gaussian_filter(scan.data, sigma_mm / scan.spacing_mm))

    return change


def curved(exponent: float) -> Change:
    """Another contrast: grey values over their highest, to a power."""

    def change(scan: Volume, _: np.random.Generator) -> Volume:
        low, high = float(scan.data.min()), float(scan.data.max())
        return scan.with_data(1000 * ((scan.data - low) / (high - low)) ** exponent)

    return change


def shaded(axis: int, factor: float) -> Change:
    """A surface coil: grey values change by `factor` from one end of an axis to the other."""

    def change(scan: Volume, _: np.random.Generator) -> Volume:
        steps = np.linspace(-0.5, 0.5, scan.data.shape[axis])
        field = np.expand_dims(factor**steps, [one for one in range(3) if one != axis])
        return scan.with_data((scan.data * field).astype(np.float32))

    return change


PROTOCOLS: Mapping[str, Change] = {
    "it is": lambda scan, _: scan,
    "voxels of 0.6 mm": in_voxels(0.6, 0.6, 0.6),
    "voxels of 1.3 mm": in_voxels(1.3, 1.3, 1.3),
    "axial slices of 2 mm": in_voxels(0.8, 0.8, 2.0),
    "axial slices of 4 mm": in_voxels(0.8, 0.8, 4.0),
    "sagittal slices of 2 mm": in_voxels(2.0, 0.8, 0.8),
    "sagittal slices of 3.3 mm": in_voxels(3.3, 0.8, 0.8),
    "sagittal slices of 4 mm": in_voxels(4.0, 0.8, 0.8),
    "coronal slices of 2 mm": in_voxels(0.8, 2.0, 0.8),
    "noise of 5 %": noisy(0.05),
    "noise of 10 %": noisy(0.1),
    "blur of 0.9 mm": blurred(0.9),
    "grey values ^ 0.6": curved(0.6),
    "grey values ^ 1.6": curved(1.6),
    "four times brighter behind": shaded(1, 0.25),
    "four times brighter above": shaded(2, 4.0),
}
"""Name → change. Lengths along right, front and up."""


def rows(
    references: Sequence[Reference], models: Sequence[tuple[str, Model]]
) -> Iterator[dict[str, str | float]]:
    """A row a change, scan and model (name, model): Dice, recall and missed slices on the grid of
    the drawing, and the Dice of the drawing itself after it was on the changed scan's grid, more
    than which no mask there can reach."""
    for reference in references:
        for name, change in PROTOCOLS.items():
            seen = change(reference.scan, np.random.default_rng(SEED))
            bound = _bound(reference, seen) if ROOTS in reference.masks else np.nan
            for model_name, model in models:
                found = segment(seen, model)
                masks = {
                    part: _carried(seen.with_data(mask), reference.scan)
                    for part, mask in results.masks_of(found).items()
                }
                scored = results.score(model_name, reference, masks, found.centreline)
                yield {**results.row(scored), "changed": name, "roots_bound": bound}


def markdown(table: pd.DataFrame) -> str:
    """The table's columns that people read, a line a change."""
    lines = [f"| scan | {' | '.join(COLUMNS.values())} |", f"|{' --- |' * (len(COLUMNS) + 1)}"]
    for row in table.to_dict("records"):
        cells = [_cell(name, row.get(name)) for name in COLUMNS]
        lines.append(f"| {row['scan']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.0f}" if name.endswith("missed") else f"{value:.2f}"


def _bound(reference: Reference, seen: Volume) -> float:
    """Dice of the drawn roots with themselves, there and back."""
    drawn = reference.masks[ROOTS]
    there = _carried(reference.scan.with_data(drawn), seen)
    back = _carried(seen.with_data(there), reference.scan)
    return agreement(drawn, back, reference.trusted[ROOTS]).dice


def _carried(mask: Volume, to: Volume) -> np.ndarray:
    """A mask on another grid, bool (X, Y, Z): where at least half of a voxel is in it."""
    soft = mask.with_data(mask.data.astype(np.float32))
    coarser = to.spacing_mm / mask.spacing_mm
    sigmas = np.where(coarser > 1.05, 0.35 * coarser, 0)
    soft = soft.with_data(gaussian_filter(soft.data, sigmas))
    moved = resample_from_to(as_image(soft), (to.data.shape, to.affine), order=1)
    return np.asanyarray(moved.dataobj) >= 0.5
