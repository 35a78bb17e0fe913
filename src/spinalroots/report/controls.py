"""The section of controls: what the class `other roots`, augmentation and training itself do."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from spinalroots.metrics.measurements import (
    BINARY_DICE,
    EMPTY,
    SIMULATED_SCORE,
    THRESHOLD_GIVEN,
    THRESHOLD_SEEN,
    UNTRAINED,
)
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
        effect
        for name, model in MODELS.items()
        if {name, model.twin} <= scored
        for effect in _effects(pairs, name, model.twin, model.region)
    ]
    if twins:
        yield Text(
            "The paper's region models also segment the roots of neighbouring regions. Here they "
            f"know those roots as a class of their own. {_in_words(twins)}"
        )
        yield _table(twins, _OTHER_ROOTS)
    if {RAW, AUGMENTED} <= scored:
        effects = list(_effects(pairs, AUGMENTED, RAW, Region.ALL))
        yield Text(f"What augmentation brings. {_in_words(effects)}")
        yield _table(effects, _AUGMENTATION)
    learnt = _learnt(cases)
    if learnt.rows:
        yield learnt
    yield from _thresholds(cases)


_METRICS = {
    BINARY_DICE: "binary Dice",
    "level_dice_mean": "Dice per level",
    SIMULATED_SCORE: "expert score, simulated",
}
"""What is told of a pair. All of them: a change may raise one and lower another."""

_DIFFERENCE = (
    "Difference with its 95 % bootstrap interval over cases, and the p-value of Wilcoxon's "
    "signed-rank test on the same cases; of eight cases it cannot be less than 0.008."
)
_OTHER_ROOTS = (
    "Region models with the roots of neighbouring regions as one extra class, `other roots`, "
    "against trainings of the same plan, length and cases in which those roots are background, as "
    f"in the paper. Figures are of the region's own roots. {_DIFFERENCE}"
)
_AUGMENTATION = (
    "`all-individuals` with the augmented cases, `all-individuals-raw` without; the same plan and "
    f"the same number of batches. {_DIFFERENCE}"
)


def _in_words(effects: list[dict[str, Any]]) -> str:
    """Which differences are larger than chance, by their intervals, and which may be chance."""
    shown: list[str] = []
    open_ones: list[str] = []
    for one in effects:
        said = f"{_METRICS[one['metric']]} {signed(one['mean_difference'])} ({one['region']})"
        clear = one["ci_low"] > 0 or one["ci_high"] < 0
        (shown if clear else open_ones).append(said)
    words = [f"Shown here: {', '.join(shown)}." if shown else "Nothing is shown here."]
    if open_ones:
        words.append(f"May be chance: {', '.join(open_ones)}.")
    return " ".join(words)


def _effects(pairs: pd.DataFrame, first: str, second: str, region: str) -> Iterator[dict[str, Any]]:
    """The rows of `pairs` about each of `_METRICS`, first − second, from either order of the
    pair."""
    chosen = pairs[pairs["region"] == str(region)]
    turned = chosen.rename(columns=_TURNED)
    turned[_SIGNED] = -turned[_SIGNED]
    both = pd.concat([chosen, turned])
    both = both[(both["model_a"] == first) & (both["model_b"] == second)]
    for metric in _METRICS:
        yield from both[both["metric"] == metric].to_dict("records")


_SIGNED = ["mean_difference", "ci_low", "ci_high"]
_TURNED = {
    "model_a": "model_b",
    "model_b": "model_a",
    "mean_a": "mean_b",
    "mean_b": "mean_a",
    "ci_low": "ci_high",
    "ci_high": "ci_low",
}


def _table(effects: list[dict[str, Any]], caption: str) -> Table:
    rows = [
        (
            paper.title(MODELS[one["model_a"]]),
            _METRICS[one["metric"]],
            str(one["n_cases"]),
            number(one["mean_a"]),
            number(one["mean_b"]),
            signed(one["mean_difference"]),
            f"{signed(one['ci_low'])} … {signed(one['ci_high'])}",
            number(one["wilcoxon_p"]),
        )
        for one in effects
    ]
    columns = ("Model", "Of", "Cases", "With", "Without", "Difference", "95 %", "p")
    return Table(columns, rows, caption)


def _thresholds(cases: pd.DataFrame) -> Iterator[Table]:
    """What one grey-value threshold in the sac gives, beside a network that sees the sac."""
    for name, model in MODELS.items():
        found = [
            values_of(cases, name, metric, model.region).dropna()
            for metric in (BINARY_DICE, THRESHOLD_SEEN, THRESHOLD_GIVEN)
        ]
        if len(found[1]):
            row = (paper.title(model), str(len(found[1])), *[number(one.mean()) for one in found])
            caption = (
                "Binary Dice of the network, and of everything in the sac that is darker than "
                "Otsu's threshold of the sac's own grey values: in the sac as this network sees "
                "it, and in the true one, which only synthetic cases have. A threshold names "
                "nothing."
            )
            headers = ("Model", "Cases", "Network", "Threshold, sac as seen", "Threshold, true sac")
            yield Table(headers, [row], caption)


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
