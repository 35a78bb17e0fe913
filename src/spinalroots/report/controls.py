"""The section of controls: what the class `other roots`, augmentation and training itself do."""

from __future__ import annotations

import pandas as pd

from spinalroots.metrics.baseline import EMPTY, UNTRAINED
from spinalroots.metrics.measurements import BINARY_DICE
from spinalroots.metrics.tables import values_of
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Region
from spinalroots.registry.models import MODELS
from spinalroots.report import paper
from spinalroots.report.blocks import Section, Table, Text, missing
from spinalroots.report.inputs import Inputs
from spinalroots.report.numbers import number, signed

RAW, AUGMENTED = "nnunet-all-individuals-raw", "nnunet-all-individuals"


def section(inputs: Inputs) -> Section:
    """Pairs of models that differ in one thing, and every nnU-Net against one that never learnt."""
    found = Section("controls", "Does it help?")
    pairs, cases = inputs.table(paths.COMPARISONS), inputs.table(paths.METRICS_CASES)
    if pairs is None or cases is None:
        found.blocks.append(missing("comparison of the models", "evaluate"))
        return found
    twins = [
        (name, model.twin, model.region)
        for name, model in MODELS.items()
        if model.twin in MODELS and {name, model.twin} <= set(cases["model"])
    ]
    if twins:
        effects = [_effect(pairs, *twin) for twin in twins]
        found.blocks.append(Text(_in_words(twins, effects)))
        found.blocks.append(_table(twins, effects, _OTHER_ROOTS))
    if {RAW, AUGMENTED} <= set(cases["model"]):
        pair = (AUGMENTED, RAW, Region.ALL)
        found.blocks.append(_table([pair], [_effect(pairs, *pair)], _AUGMENTATION))
    learnt = _learnt(cases)
    if learnt.rows:
        found.blocks.append(learnt)
    return found


_OTHER_ROOTS = (
    "Region models with the roots of neighbouring regions as one extra class, `other roots`, "
    "against the same trainings in which those roots are background, as in the paper. Binary Dice "
    "of the region's own roots; difference with its 95 % bootstrap interval over cases."
)
_AUGMENTATION = (
    "Two trainings that differ only in the augmented cases: `all-individuals` with, "
    "`all-individuals-raw` without, both with the same number of batches."
)


def _effect(pairs: pd.DataFrame, first: str, second: str, region: str) -> dict[str, float]:
    """Binary Dice of both, and first − second with its interval, from either order of the pair."""
    chosen = pairs[(pairs["metric"] == BINARY_DICE) & (pairs["region"] == str(region))]
    for one, other, sign in ((first, second, 1), (second, first, -1)):
        row = chosen[(chosen["model_a"] == one) & (chosen["model_b"] == other)]
        if len(row):
            row = row.iloc[0]
            means = (row["mean_a"], row["mean_b"])[::sign]
            low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
            return {
                "first": means[0],
                "second": means[1],
                "difference": sign * row["mean_difference"],
                "low": low,
                "high": high,
                "n": row["n_cases"],
            }
    nothing = float("nan")
    return dict.fromkeys(("first", "second", "difference", "low", "high"), nothing) | {"n": 0}


def _in_words(twins: list[tuple], effects: list[dict]) -> str:
    told = ", ".join(
        f"{signed(effect['difference'])} ({region})"
        for (_, _, region), effect in zip(twins, effects, strict=True)
    )
    return (
        "The paper's region models also segment the roots of neighbouring regions. Here they know "
        f"those roots as a class of their own, which changes the binary Dice by {told}."
    )


def _table(pairs: list[tuple], effects: list[dict], caption: str) -> Table:
    rows = [
        (
            paper.title(MODELS[first]),
            str(int(effect["n"])),
            number(effect["first"]),
            number(effect["second"]),
            signed(effect["difference"]),
            f"{signed(effect['low'])} … {signed(effect['high'])}",
        )
        for (first, _, _), effect in zip(pairs, effects, strict=True)
    ]
    return Table(("Model", "Cases", "With", "Without", "Difference", "95 %"), rows, caption)


def _learnt(cases: pd.DataFrame) -> Table:
    """Trained, untrained and empty on the cases that an untrained network was asked about."""
    rows = []
    for name, model in MODELS.items():
        untrained = values_of(cases, name, UNTRAINED, model.region)
        if len(untrained):
            trained = values_of(cases, name, BINARY_DICE, model.region)[untrained.index]
            empty = values_of(cases, name, EMPTY, model.region)[untrained.index]
            rows.append(
                (
                    paper.title(model),
                    ", ".join(untrained.index),
                    *[number(values.mean()) for values in (trained, untrained, empty)],
                )
            )
    caption = (
        "Binary Dice of each trained network, of the same network before its training, and of an "
        "empty mask, on the test case that all three were asked about."
    )
    return Table(("Model", "Case", "Trained", "Untrained", "Empty mask"), rows, caption)
