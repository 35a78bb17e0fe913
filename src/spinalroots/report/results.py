"""Sections about what the models are worth."""

from collections.abc import Iterator

import pandas as pd

from spinalroots.expert.tables import HUMAN, SIMULATED
from spinalroots.metrics.measurements import BINARY_DICE
from spinalroots.metrics.tables import values_of
from spinalroots.registry import paths
from spinalroots.registry.anatomy import REFINED_LEVELS, Region
from spinalroots.registry.models import MODELS
from spinalroots.report import blocks, paper
from spinalroots.report.blocks import Drawing, Folded, Table, Text, cell, mean_sd, number, signed
from spinalroots.report.charts import Strip, curves, heat_grid, strip_chart
from spinalroots.report.inputs import Inputs

NOT_COMPARABLE = (
    "The test cases are synthetic scans with exact masks. The paper's numbers come from patients "
    "and a human's masks: they stand here for orientation, and which is larger says nothing."
)
DIFFERENT_PATIENTS = (
    "The test cases are real scans without a known truth: models are held against what annotators "
    "drew and the refinement completed. The paper's numbers come from other patients and "
    "annotators: compare with care."
)

_METRICS = (
    ("level_dice_mean", "Dice per level", 3),
    ("root_dice_mean", "Dice per root", 3),
    ("cl_dice", "clDice", 3),
    ("surface_dice", "surface Dice", 3),
    ("hd95_mm_median", "HD95, mm", 1),
    ("instance_f1", "root F1", 3),
    ("side_accuracy", "left/right", 3),
    ("expert_score_simulated", "expert score, simulated", 3),
    ("expert_score_erasing_free", "the same, erasing free", 3),
    ("level_error_mm_median", "level error, mm", 1),
    ("entry_error_mm_median", "entry error, mm", 1),
    ("missed_levels", "levels missed", 2),
)

_FEWEST_VOXELS = 50
"""A bin of the reliability curve with fewer voxels is noise and is not drawn."""


@blocks.section("models", "The models compared")
def table_one(inputs: Inputs, synthetic: bool) -> Iterator:
    """Table I beside the paper's, the dots behind it, and every other metric."""
    table = blocks.needed(inputs.table(paths.TABLE_MODELS), "table of models", "evaluate")
    cases = blocks.needed(inputs.table(paths.METRICS_CASES), "table of models", "evaluate")
    metrics = inputs.json(paths.METRICS) or {}
    yield Text(NOT_COMPARABLE if synthetic else DIFFERENT_PATIENTS, "caution")
    yield _beside_the_paper(table)
    yield from _budgets(inputs, table)
    yield Drawing(
        strip_chart(_strips(table, cases, metrics), "binary Dice"),
        "Binary Dice: a dot per test case, a bar at the mean with its 95 % bootstrap interval, "
        "and a diamond at the paper's mean.",
    )
    yield _other_metrics(metrics)
    looks = inputs.table(paths.TABLE_LOOKS)
    if looks is not None and len(looks):
        yield _looks(looks)
    pairs = inputs.table(paths.COMPARISONS)
    if pairs is not None:
        yield Folded("Paired comparison of the models", [_pairs(pairs)])


def _beside_the_paper(table: pd.DataFrame) -> Table:
    rows = []
    simulated = table[table["expert_score_source"] == SIMULATED].reset_index(drop=True)
    human = table[table["expert_score_source"] == HUMAN].set_index("model")
    for _, row in simulated.iterrows():
        name, printed = row["model"], paper.TABLE_ONE.get(row["model"])
        given = "–"
        if name in human.index:
            given = f"{_expert_score(human.loc[name])} (n = {human.loc[name, 'n_cases']})"
        rows.append(
            (
                paper.title(MODELS[name]),
                str(row["n_cases"]),
                mean_sd(row["binary_dice_mean"], row["binary_dice_sd"]),
                mean_sd(*printed.dice) if printed else "–",
                _expert_score(row),
                given,
                mean_sd(*printed.expert, 2) if printed and printed.expert else "–",
            )
        )
    scores = ("Expert score, simulated", "Expert score, human", "Expert score, paper")
    headers = ("Model", "Cases", "Binary Dice here", "Dice, paper", *scores)
    caption = (
        "Mean ± SD over the test cases. Expert score: 0.5 no help, 1.0 nothing left to do; the "
        "simulated one is computed from the contour that would have to be drawn again and is no "
        "human's judgement. The highest Dice is bold; region rows are scored on their own roots."
    )
    dice = simulated["binary_dice_mean"]
    return Table(headers, rows, caption, dice.idxmax() if dice.notna().any() else None)


def _budgets(inputs: Inputs, table: pd.DataFrame) -> Iterator[Folded]:
    """What each model was given, beside what came of it."""
    rows = []
    simulated = table[table["expert_score_source"] == SIMULATED].set_index("model")
    for name in simulated.index:
        learnt = inputs.json(paths.MODELS / name / "training.json")
        described = inputs.json(paths.MODELS / name / "model.json") or {}
        if learnt is not None:
            size = described.get("parameters")
            rows.append(
                (
                    paper.title(MODELS[name]),
                    number(learnt["seconds"], 0),
                    number(1000 * learnt["energy_kwh"], 2),
                    "–" if size is None else number(size / 1e6, 2),
                    number(simulated.loc[name, "binary_dice_mean"]),
                )
            )
    if rows:
        caption = (
            "Models were not given the same: read differences between families with their "
            "budgets. Seconds of training by the clock, energy of the whole machine in equal "
            "shares where trainings ran side by side (codecarbon's estimate)."
        )
        headers = ("Model", "Training, s", "Energy, Wh", "Parameters, million", "Binary Dice here")
        yield Folded("What each model was given", [Table(headers, rows, caption)])


def _expert_score(row: pd.Series) -> str:
    return mean_sd(row["expert_score_mean"], row["expert_score_sd"], 2)


def _strips(table: pd.DataFrame, cases: pd.DataFrame, metrics: dict) -> list[Strip]:
    strips = []
    for name in table["model"].drop_duplicates():
        values = values_of(cases, name, BINARY_DICE, MODELS[name].region)
        record, printed = metrics.get(name, {}), paper.TABLE_ONE.get(name)
        low, high = (record.get(f"binary_dice_{end}") or float("nan") for end in ("low", "high"))
        other = printed.dice[0] if printed else None
        title = paper.title(MODELS[name])
        strips.append(Strip(title, values.tolist(), float(values.mean()), low, high, other))
    return strips


def _other_metrics(metrics: dict) -> Table:
    rows = [
        (
            paper.title(MODELS[name]),
            *[number(record.get(key), digits) for key, _, digits in _METRICS],
        )
        for name, record in metrics.items()
        if name in MODELS
    ]
    caption = (
        "Scores are means over cases (1 is best); distances are medians, as a missed level is "
        "infinitely far (∞ or –). Root F1 does not look at names, Dice per level and per root do. "
        "Definitions: `docs/metrics.md`."
    )
    return Table(("Model", *[title for _, title, _ in _METRICS]), rows, caption)


_LOOKS = {
    "binary_dice": "binary Dice",
    "level_dice_mean": "Dice per level",
    "level_accuracy": "right level",
    "type_accuracy": "dorsal/ventral",
    "side_accuracy": "left/right",
    "instance_f1": "root F1",
    "name_changes_per_10cm": "name changes",
    "expert_score_simulated": "expert score, simulated",
}


def _looks(table: pd.DataFrame) -> Table:
    rows = [
        (
            paper.title(MODELS[row["model"]]),
            row["look"],
            str(row["n_cases"]),
            *[number(row[metric]) for metric in _LOOKS],
        )
        for _, row in table.iterrows()
    ]
    caption = (
        "Physical phantoms keep to published anatomy, randomised ones go beyond it in contrast, "
        "shape and packing. Right level: of the voxels with a name in both; dorsal/ventral: of the "
        "voxels found on a root of these levels; left/right likewise. Name changes: along true "
        "roots, per 10 cm."
    )
    return Table(("Model", "Test cases", "n", *_LOOKS.values()), rows, caption)


def _pairs(pairs: pd.DataFrame) -> Table:
    shown = pairs[pairs["metric"] == BINARY_DICE]
    rows = [
        (
            row["model_a"],
            row["model_b"],
            row["region"],
            str(row["n_cases"]),
            signed(row["mean_difference"]),
            f"{signed(row['ci_low'])} … {signed(row['ci_high'])}",
            number(row["wilcoxon_p"]),
            signed(row["effect_size"], 2),
        )
        for _, row in shown.iterrows()
    ]
    headers = ("First", "Second", "Roots of", "n", "First − second", "95 %", "p", "Effect")
    smallest = 2.0 ** (1 - int(pairs["n_cases"].max()))
    caption = (
        "Binary Dice. Wilcoxon signed-rank test and matched-pairs rank-biserial effect size "
        f"(−1 … 1). With this many cases p cannot fall below {smallest:g}. Other metrics: "
        f"`{paths.COMPARISONS}`."
    )
    return Table(headers, rows, caption)


@blocks.section("levels", "Level by level")
def levels(inputs: Inputs) -> Iterator:
    """Dice of every level."""
    cases = blocks.needed(inputs.table(paths.METRICS_CASES), "values per level", "evaluate")
    found = cases[cases["metric"] == "level_dice"]
    means = found.groupby(["model", "label"])["value"].mean()
    names = [name for name in MODELS if name in set(found["model"])]
    grid = [[means.get((name, level)) for level in REFINED_LEVELS] for name in names]
    titles = [paper.title(MODELS[name]) for name in names]
    yield Drawing(
        heat_grid(titles, REFINED_LEVELS, grid, "level Dice"),
        "Dice per spinal level, mean over the test cases. A level that is missed or invented "
        "counts as 0; one that is absent from reference and prediction is left out.",
    )


_REMARKS = {
    SIMULATED: "Simulated: 1 − 0.5·min(1, contour to draw again ÷ contour to draw from nothing), "
    "slice by slice and root by root. A stand-in, not a judgement.",
    HUMAN: "Human: what raters wrote with `spinalroots score`.",
}


@blocks.section("expert", "Is it a help?")
def expert(inputs: Inputs) -> Iterator:
    """Expert scores by region, the two sources apart."""
    table = blocks.needed(inputs.table(paths.TABLE_EXPERT), "expert score", "evaluate")
    for source, remark in _REMARKS.items():
        shown = table[table["expert_score_source"] == source]
        if not len(shown):
            yield Text("No human has scored a test case yet; `spinalroots score` adds a score.")
            continue
        regions = [region for region in Region if region in set(shown["region"])]
        scores = {
            (row["model"], row["region"]): mean_sd(row["mean"], row["sd"], 2)
            for _, row in shown.iterrows()
        }
        rows = [
            (paper.title(MODELS[name]), *[scores.get((name, region), "–") for region in regions])
            for name in shown["model"].drop_duplicates()
        ]
        yield Table(("Model", *regions), rows, remark)


_QUESTIONS = {
    paths.CALIBRATION: (
        "predicted probability of a root",
        "share that is root",
        "Is it root? Voxels with a probability of at least 0.01, in ten bins.",
    ),
    paths.NAME_CALIBRATION: (
        "predicted probability of the level",
        "share with the right level",
        "Which root is it? Voxels of true roots that were given a level.",
    ),
}


@blocks.section("calibration", "How sure, how right?")
def calibration(inputs: Inputs) -> Iterator:
    """Reliability curves, of both questions."""
    for path, (x_name, y_name, remark) in _QUESTIONS.items():
        table = blocks.needed(inputs.table(path), "reliability curve", "evaluate")
        drawn = table[table["voxels"] >= _FEWEST_VOXELS]
        lines = {
            paper.title(MODELS[name]): list(
                zip(rows["mean_probability"], rows["observed"], strict=True)
            )
            for name, rows in drawn.groupby("model", sort=False)
        }
        if lines:
            yield Drawing(curves(lines, x_name, y_name, unit_square=True), remark)
    yield Text(
        "Below the diagonal a model is surer than it is right. The default model's probabilities "
        "are calibrated on phantoms that it has not learnt from, the others are as the networks "
        f"give them. Calibration errors by model: `{paths.METRICS}`."
    )


@blocks.section("warnings", "Look here first")
def warnings(inputs: Inputs) -> Iterator:
    """What the plausibility check found in the test predictions."""
    found = blocks.needed(inputs.json(paths.PLAUSIBILITY), "plausibility check", "evaluate")
    yield Text(
        "Predictions that anatomy does not allow. A warning says where to look; no warning is no "
        "proof that a mask is right."
    )
    if not found:
        yield Text("No prediction of a test case raised a warning.")
        return
    table = pd.DataFrame(found)
    counts = table.groupby(["model", "kind"]).size().unstack(fill_value=0)
    rows = [
        (paper.title(MODELS[name]), *map(str, counts.loc[name]))
        for name in MODELS
        if name in counts.index
    ]
    yield Table(("Warnings", *[kind.replace("_", " ") for kind in counts.columns]), rows)
    every = [
        (row["case"], row["model"], row["label"], cell(row["message"]))
        for _, row in table.iterrows()
    ]
    yield Folded("Every warning", [Table(("Case", "Model", "Root", "What is odd"), every)])
