"""A model's Dice of every level, as a picture for its MLflow run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(cases: pd.DataFrame) -> Figure:
    """Mean over cases as bars, every case as a dot.

    :param cases: rows of one model of `reports/metrics_cases.csv`.
    """
    from matplotlib.figure import Figure

    dice = cases[cases["metric"] == "level_dice"].dropna(subset=["value"])
    levels = list(dict.fromkeys(dice["label"]))
    drawn = Figure(figsize=(7, 3), layout="constrained")
    axes = drawn.subplots()
    means = dice.groupby("label")["value"].mean()
    axes.bar(levels, [means[level] for level in levels], color="#9ecae1")
    axes.plot(dice["label"], dice["value"], ".", color="#08519c")
    axes.set(ylim=(0, 1), ylabel="Dice", title="Test cases, by level")
    return drawn
