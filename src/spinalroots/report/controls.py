"""The section of controls: what the class `other roots`, augmentation and training itself do."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from spinalroots.metrics.measurements import BINARY_DICE, EMPTY, UNTRAINED
from spinalroots.metrics.tables import values_of
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Region
from spinalroots.registry.models import MODELS
from spinalroots.report import blocks, paper
from spinalroots.report.blocks import Table, Text, needed, number, signed
from spinalroots.report.inputs import Inputs

RAW, AUGMENTED = "nnunet-all-individuals-raw", "nnunet-all-individuals"


@blocks.section("controls", "Does it help?")
def section(inputs: Inputs) -> Iterator:
    """Pairs of models that differ in one thing, and every nnU-Net against one that never learnt."""
    pairs = needed(inputs.table(paths.COMPARISONS), "comparison of the models", "evaluate")
    cases = needed(inputs.table(paths.METRICS_CASES), "comparison of the models", "evaluate")
    scored = set(cases["model"])
    twins = [
        _effect(pairs, name, model.twin, model.region)
        for name, model in MODELS.items()
        if {name, model.twin} <= scored
    ]
    if twins:
        told = ", ".join(f"{signed(one['mean_difference'])} ({one['region']})" for one in twins)
        yield Text(
            "The paper's region models also segment the roots of neighbouring regions. Here they "
            f"know those roots as a class of their own, which changes the binary Dice by {told}."
        )
        yield _table(twins, _OTHER_ROOTS)
    if {RAW, AUGMENTED} <= scored:
        yield _table([_effect(pairs, AUGMENTED, RAW, Region.ALL)], _AUGMENTATION)
    learnt = _learnt(cases)
    if learnt.rows:
        yield learnt


_OTHER_ROOTS = (
    "Region models with the roots of neighbouring regions as one extra class, `other roots`, "
    "against the same trainings in which those roots are background, as in the paper. Binary Dice "
    "of the region's own roots; difference with its 95 % bootstrap interval over cases."
)
_AUGMENTATION = (
    "Two trainings that differ only in the augmented cases: `all-individuals` with, "
    "`all-individuals-raw` without, both with the same number of batches."
)


def _effect(pairs: pd.DataFrame, first: str, second: str, region: str) -> dict[str, Any]:
    """The row of `pairs` about binary Dice, first − second, from either order of the pair."""
    chosen = pairs[(pairs["metric"] == BINARY_DICE) & (pairs["region"] == str(region))]
    turned = chosen.rename(columns=_TURNED)
    turned[_SIGNED] = -turned[_SIGNED]
    both = pd.concat([chosen, turned])
    found = both[(both["model_a"] == first) & (both["model_b"] == second)].to_dict("records")
    unknown = dict.fromkeys(("mean_a", "mean_b", *_SIGNED), float("nan"))
    return found[0] if found else {**unknown, "model_a": first, "region": region, "n_cases": 0}


_SIGNED = ["mean_difference", "ci_low", "ci_high"]
_TURNED = {
    "model_a": "model_b",
    "model_b": "model_a",
    "mean_a": "mean_b",
    "mean_b": "mean_a",
    "ci_low": "ci_high",
    "ci_high": "ci_low",
}


def _table(effects: list[dict], caption: str) -> Table:
    rows = [
        (
            paper.title(MODELS[one["model_a"]]),
            str(one["n_cases"]),
            number(one["mean_a"]),
            number(one["mean_b"]),
            signed(one["mean_difference"]),
            f"{signed(one['ci_low'])} … {signed(one['ci_high'])}",
        )
        for one in effects
    ]
    return Table(("Model", "Cases", "With", "Without", "Difference", "95 %"), rows, caption)


def _learnt(cases: pd.DataFrame) -> Table:
    """Trained, untrained and empty on the cases that an untrained network was asked about."""
    rows = []
    for name, model in MODELS.items():
        asked = values_of(cases, name, UNTRAINED, model.region).index
        if len(asked):
            dice = [
                number(values_of(cases, name, metric, model.region)[asked].mean())
                for metric in (BINARY_DICE, UNTRAINED, EMPTY)
            ]
            rows.append((paper.title(model), ", ".join(asked), *dice))
    caption = (
        "Binary Dice of each trained network, of the same network before its training, and of an "
        "empty mask, on the test case that all three were asked about."
    )
    return Table(("Model", "Case", "Trained", "Untrained", "Empty mask"), rows, caption)
