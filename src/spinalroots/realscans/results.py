"""What each model found on each scan, scored: rows of a table, and the same with every slice."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from spinalroots.imaging.centreline import Centreline
from spinalroots.predict.scan import Segmentation
from spinalroots.realscans.drawing import PARTS, parts_of
from spinalroots.realscans.naming import ROOTS
from spinalroots.realscans.reference import CHOSE_DESIGNS, Reference
from spinalroots.realscans.scores import THIRDS, Agreement, agreement, line_errors_mm
from spinalroots.registry.anatomy import Scheme, label_names
from spinalroots.report.blocks import number

_SHOWN = {
    "model": "model",
    "scan": "scan",
    "roots_dice": "roots: Dice",
    "roots_recall": "recall",
    "roots_precision": "precision",
    "roots_precision_1vox": "within a voxel",
    "roots_slices_missed": "slices without a hit",
    "roots_dice_lower": "Dice, lower third",
    "roots_dice_middle": "middle",
    "roots_dice_upper": "upper",
    "sac_dice": "sac: Dice",
    "cord_dice": "cord: Dice",
    "line_mean_mm": "centreline, mean mm",
    "line_max_mm": "most",
}


@dataclass(frozen=True)
class Result:
    """One model on one scan: `masks`: part → bool (X, Y, Z); the `scores` of what was drawn and
    found; `line_errors_mm` (N,)."""

    model: str
    reference: Reference
    masks: Mapping[str, np.ndarray]
    scores: Mapping[str, Agreement]
    line_errors_mm: np.ndarray


def masks_of(found: Segmentation) -> dict[str, np.ndarray]:
    """Part → bool (X, Y, Z). A model without a tissue map shows the roots that it names, alone."""
    if Scheme.TISSUES not in found.maps:
        return {ROOTS: found.maps[Scheme.ENTITY].data > 0}
    return parts_of(found.maps[Scheme.TISSUES].data, label_names(Scheme.TISSUES))


def score(
    model: str, reference: Reference, masks: Mapping[str, np.ndarray], line: Centreline
) -> Result:
    """Score what a model found against what was drawn."""
    scores = {
        part: agreement(reference.masks[part], masks[part], reference.trusted[part])
        for part in PARTS
        if part in reference.masks and part in masks
    }
    errors_mm = line_errors_mm(reference.line_mm, line, reference.scan.grid)
    return Result(model, reference, masks, scores, errors_mm)


def row(result: Result) -> dict[str, str | float]:
    """A row of the table; NaN for what was not drawn or is not found by such a model."""
    reference, errors_mm = result.reference, result.line_errors_mm
    cells: dict[str, str | float] = {
        "model": result.model,
        "scan": reference.name,
        "use": reference.use,
    }
    for part in PARTS:
        found = result.scores.get(part)
        values = {} if found is None else asdict(found)
        for name in ("dice", "recall", "precision", "precision_1vox", "slices", "slices_missed"):
            cells[f"{part}_{name}"] = values.get(name, math.nan)
        if part == ROOTS:
            thirds = values.get("dice_thirds", (math.nan,) * 3)
            cells |= {f"roots_dice_{name}": one for name, one in zip(THIRDS, thirds, strict=True)}
    cells["line_mean_mm"] = float(errors_mm.mean()) if errors_mm.size else math.nan
    cells["line_max_mm"] = float(errors_mm.max()) if errors_mm.size else math.nan
    cells["line_reference"] = reference.line_source
    return cells


def table(results: Iterable[Result]) -> pd.DataFrame:
    """A row per scan and model, the models of a scan together."""
    rows = pd.DataFrame([row(one) for one in results])
    return rows.sort_values("scan", kind="stable", ignore_index=True)


def markdown(rows: pd.DataFrame) -> str:
    """The table for a page, with what it does not mean."""
    shown = rows[list(_SHOWN)].copy()
    counts = rows[["roots_slices_missed", "roots_slices"]]
    shown["roots_slices_missed"] = [
        "–" if math.isnan(of) else f"{missed:.0f} of {of:.0f}"
        for missed, of in counts.itertuples(index=False)
    ]
    lines = [" | ".join(_SHOWN.values()), " | ".join(["---", "---", *["---:"] * (len(_SHOWN) - 2)])]
    for cells in shown.itertuples(index=False):
        lines.append(" | ".join(one if isinstance(one, str) else number(one, 2) for one in cells))
    text = "\n".join(f"| {line} |" for line in lines) + "\n"
    chosen = sorted(set(rows.scan[rows.use == CHOSE_DESIGNS]))
    if chosen:
        text += (
            f"\nDevelopment: {', '.join(f'`{name}`' for name in chosen)}. Designs were chosen by "
            "such scans, so their figures are no test results; no model was trained on them.\n"
        )
    return text


def record(result: Result) -> dict:
    """Everything about a result as plain values, every slice included; None for NaN."""
    reference = result.reference
    return _plain(
        {
            **row(result),
            "files": dict(reference.files),
            "parts": {
                part: {
                    "trusted_z": np.flatnonzero(reference.trusted[part]).tolist(),
                    "voxels_drawn": int(np.count_nonzero(reference.masks[part])),
                    "dice_by_slice": found.dice_by_slice.tolist(),
                }
                for part, found in result.scores.items()
            },
        }
    )


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value
