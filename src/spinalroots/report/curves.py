"""What `dvc plots` draws, as plain tables: one row a point."""

import pandas as pd

from spinalroots.registry import paths
from spinalroots.registry.anatomy import REFINED_LEVELS
from spinalroots.registry.models import MODELS
from spinalroots.report.inputs import Inputs

TRAINING = ("model", "curve", "step", "loss")
LEVELS = ("model", "level", "dice")


def training(inputs: Inputs) -> pd.DataFrame:
    """Losses of every training by step: of nnU-Net's first fold by epoch, of the anatomy networks
    by fifty steps. Columns :data:`TRAINING`; without a training no row."""
    rows = []
    for name in MODELS:
        record = inputs.json(paths.TRAINED / name / "training.json") or {}
        fold = (record.get("folds") or [{}])[0]
        curves = {
            "training": fold.get("train_losses"),
            "validation": fold.get("val_losses"),
            **(record.get("losses") or {}),
        }
        for curve, values in curves.items():
            rows += [(name, curve, step, value) for step, value in enumerate(values or [], 1)]
    return pd.DataFrame(rows, columns=TRAINING)


def levels(inputs: Inputs) -> pd.DataFrame:
    """Mean Dice over the test cases of every model and level, from the head down; columns
    :data:`LEVELS`."""
    cases = inputs.table(paths.METRICS_CASES)
    if cases is None:
        return pd.DataFrame(columns=LEVELS)
    found = cases[cases["metric"] == "level_dice"]
    means = found.groupby(["model", "label"])["value"].mean()
    rows = [
        (name, level, means[name, level])
        for name in MODELS
        for level in REFINED_LEVELS
        if (name, level) in means.index
    ]
    return pd.DataFrame(rows, columns=LEVELS)
