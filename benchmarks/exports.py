"""int8 and bf16 exports of our trained networks against PyTorch fp32 of the same, on a test scan.

Needs models/trained and models/exports. What an export costs in Dice is the stage `quantize`'s word
(reports/quantization_details.csv, test cases); one that costs more than 0.002 does not count.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import read_json
from spinalroots.pipeline import params
from spinalroots.predict.trained import TrainedModel
from spinalroots.quantize.cases import MeasuredCase
from spinalroots.quantize.measure import measure
from spinalroots.registry import paths
from spinalroots.registry.models import MODELS
from spinalroots.registry.variants import REFERENCE, VARIANTS, Precision

DETAILS = paths.REPORTS / "quantization_details.csv"
LARGEST_LOSS = 0.002
SMALL = (Precision.INT8, Precision.BF16)


def run() -> list[dict]:
    """The network's seconds for a whole scan, of the fastest export that may count."""
    loaded = params.load()
    name = read_json(paths.SPLIT)["test"][0]
    chosen = next(one for one in selected_cases(loaded.data, paths.RAW) if one.name == name)
    line = paths.SCAN_CENTRELINES / f"{name}.json"
    case = MeasuredCase(chosen, line, Dataset(paths.TRUTH), Dataset(paths.REFINED))
    table = pd.read_csv(DETAILS)
    records = []
    for model in loaded.quantize.models:
        inference = getattr(loaded.inference, MODELS[model].family)
        trained = TrainedModel(paths.TRAINED / model, inference)
        own = table[table["model"] == model]
        losses = {(row.precision, row.runtime): -row.dice_change for row in own.itertuples()}
        reference = _seconds(paths.EXPORTS / model / REFERENCE.name, trained, case)
        found = {}
        for variant in VARIANTS:
            folder = paths.EXPORTS / model / variant.name
            loss = losses.get((str(variant.precision), str(variant.runtime)), np.inf)
            if variant.precision in SMALL and folder.is_dir():
                found[variant.name] = (*_seconds(folder, trained, case), loss)
        counting = {key: one for key, one in found.items() if one[2] <= LARGEST_LOSS}
        told = "; ".join(
            f"{key} {one[0]:.2f} s, whole scan {one[1]:.2f} s, Dice loss {one[2]:.4f}"
            for key, one in found.items()
        )
        best = min(counting, key=lambda key: counting[key][0], default=None)
        ours = counting[best][0] if best else float("inf")
        records.append(
            {
                "name": f"exports: {model}",
                "ours": ours,
                "other": reference[0],
                "ratio": reference[0] / ours,
                "unit": "s",
                "compared": f"network alone, {best}, the fastest int8 or bf16 export that loses no "
                f"more than {LARGEST_LOSS} Dice, against PyTorch fp32 (whole scan "
                f"{reference[1]:.2f} s); {told}",
            }
        )
    return records


def _seconds(export: Path, model: TrainedModel, case: MeasuredCase) -> tuple[float, float]:
    """Seconds in the network, and for the whole scan."""
    found = measure(export, model, [case], 1)
    return min(found.network_s), min(found.inference_s)
