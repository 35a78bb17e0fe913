"""From values per case to tables: means for DVC, summaries, paired comparisons, reliability.

`cases` is always the long table with the columns of :data:`CASE_COLUMNS`, a value a row.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple

import numpy as np
import pandas as pd

from spinalroots.metrics.calibration import BINS, NAME, ROOT, Curves
from spinalroots.metrics.false_roots import KINDS
from spinalroots.metrics.measurements import (
    BINARY_DICE,
    PUBLISHED_SCORE,
    SIMULATED_SCORE,
    UNTRAINED,
    Measurement,
)
from spinalroots.metrics.statistics import compare, summarise
from spinalroots.registry.anatomy import Region
from spinalroots.registry.models import MODELS, Model

CASE_COLUMNS = ("model", "case", "source", "metric", "label", "value")

_COMPARISON_COLUMNS = (
    *("metric", "region", "model_a", "model_b", "n_cases", "mean_a", "mean_b"),
    *("mean_difference", "ci_low", "ci_high", "wilcoxon_p", "effect_size"),
)
_OF_A_CASE = (
    *(BINARY_DICE, UNTRAINED, "cl_dice", "surface_dice", "level_dice_mean", "root_dice_mean"),
    *("instance_precision", "instance_recall", "instance_f1", "side_accuracy", SIMULATED_SCORE),
    *("level_accuracy", "type_accuracy", PUBLISHED_SCORE, "name_changes_per_10cm"),
    *(f"false_{kind}" for kind in KINDS),
)
OF_A_LOOK = (
    *(BINARY_DICE, "level_dice_mean", "level_accuracy", "type_accuracy", "side_accuracy"),
    *("instance_f1", "name_changes_per_10cm", SIMULATED_SCORE),
)
_CALIBRATION_ERRORS = {ROOT: "calibration_error", NAME: "name_calibration_error"}
_DISTANCES = ("hd95_mm", "level_error_mm", "entry_error_mm")
_COMPARED = (BINARY_DICE, "level_dice_mean", "root_dice_mean", SIMULATED_SCORE)


def long_table(scored: Iterable[tuple[str, str, str, Iterable[Measurement]]]) -> pd.DataFrame:
    """`cases` of (model, case, source, measurements) of every prediction."""
    rows = [
        (model, case, source, one.metric, one.label, one.value)
        for model, case, source, measurements in scored
        for one in measurements
    ]
    return pd.DataFrame(rows, columns=list(CASE_COLUMNS))


def values_of(cases: pd.DataFrame, model: str, metric: str, label: str) -> pd.Series:
    """Case → value of one model's metric about one label, ordered by case."""
    chosen = cases[
        (cases["model"] == model) & (cases["metric"] == metric) & (cases["label"] == label)
    ]
    return chosen.set_index("case")["value"].sort_index()


def models_in(cases: pd.DataFrame) -> list[Model]:
    """The models that were scored, in the order of the registry."""
    scored = set(cases["model"])
    return [model for name, model in MODELS.items() if name in scored]


def metrics(
    cases: pd.DataFrame, curves: Curves, *, seed: int, resamples: int
) -> dict[str, dict[str, float]]:
    """Model → metric → mean over cases (scores, with the binary Dice's 95 % interval) or median.

    Distances have a median over cases, or over cases and levels, as a missed level is infinitely
    far; `missed_levels` is the share of levels that are missed or invented. What is not finite is
    left out.

    :param curves: reliability of each model and question, where probabilities were kept.
    """
    found = {}
    for model in models_in(cases):
        record = {
            metric: values_of(cases, model.name, metric, model.region).mean()
            for metric in _OF_A_CASE
        }
        dice = values_of(cases, model.name, BINARY_DICE, model.region)
        summary = summarise(dice.to_numpy(), seed=seed, resamples=resamples)
        record |= {"binary_dice_low": summary.low, "binary_dice_high": summary.high}
        own = cases[cases["model"] == model.name]
        for metric in _DISTANCES:
            record[f"{metric}_median"] = own.loc[own["metric"] == metric, "value"].median()
        errors = own.loc[own["metric"] == "level_error_mm", "value"].dropna()
        record["missed_levels"] = np.isinf(errors).mean()
        for question, metric in _CALIBRATION_ERRORS.items():
            if curve := curves.get((model.name, question)):
                record[metric] = curve.expected_error
        found[model.name] = {
            name: round(float(value), 6) for name, value in record.items() if math.isfinite(value)
        }
    return found


def by_look(cases: pd.DataFrame, looks: Mapping[str, str]) -> pd.DataFrame:
    """Means of the main scores for each model and look of synthetic case.

    :param looks: case → `physical` or `randomised`; other cases are left out.
    """
    own = cases[cases["metric"].isin(OF_A_LOOK)].assign(look=cases["case"].map(looks))
    regions = {model.name: str(model.region) for model in models_in(cases)}
    own = own[own["label"] == own["model"].map(regions)].dropna(subset=["look"])
    table = own.pivot_table("value", ["model", "look"], "metric", sort=False)
    table.insert(0, "n_cases", own.groupby(["model", "look"])["case"].nunique())
    return table.reindex(columns=["n_cases", *OF_A_LOOK]).reset_index()


def summary(cases: pd.DataFrame, *, seed: int, resamples: int) -> pd.DataFrame:
    """Every metric by model and label over cases: n, mean, SD (n − 1), 95 % bootstrap interval.

    What is absent from both masks is left out. `missed` counts infinite distances, of a mask missed
    or invented; the mean is over the others.
    """
    rows = []
    for place, group in cases.groupby(["model", "metric", "label"], sort=False):
        values = group["value"].to_numpy(float)
        missed = np.isinf(values)
        found = summarise(values[~missed], seed=seed, resamples=resamples)
        rows.append((*place, found.n, found.mean, found.sd, found.low, found.high, missed.sum()))
    columns = ["model", "metric", "label", "n_cases", "mean", "sd", "ci_low", "ci_high", "missed"]
    return pd.DataFrame(rows, columns=columns)


def comparisons(cases: pd.DataFrame, *, seed: int, resamples: int) -> pd.DataFrame:
    """Every pair of models on the roots that both know, region by region; see `statistics.compare`.

    A whole-spine model meets a region model on that region's roots only.
    """
    rows = []
    for metric, region in itertools.product(_COMPARED, Region):
        scored = {
            model.name: values
            for model in models_in(cases)
            if len(values := values_of(cases, model.name, metric, region))
        }
        for first, second in itertools.combinations(scored, 2):
            both = pd.concat([scored[first], scored[second]], axis=1, join="inner")
            result = compare(*both.to_numpy(float).T, seed=seed, resamples=resamples)
            if result.n:
                n_cases, *difference = astuple(result)
                rows.append(
                    (metric, str(region), first, second, n_cases, *both.mean(), *difference)
                )
    return pd.DataFrame(rows, columns=list(_COMPARISON_COLUMNS))


def calibration(curves: Curves, question: str) -> pd.DataFrame:
    """A question's reliability curves: a row per model and bin of predicted probability."""
    rows = [
        (model, index / BINS, curve.voxels[index], mean, observed)
        for (model, asked), curve in curves.items()
        if asked == question
        for index, (mean, observed) in enumerate(
            zip(curve.mean_probability, curve.observed, strict=True)
        )
    ]
    columns = ["model", "bin_low", "voxels", "mean_probability", "observed"]
    return pd.DataFrame(rows, columns=columns)
