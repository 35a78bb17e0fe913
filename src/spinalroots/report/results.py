"""Sections about what the models are worth."""

from __future__ import annotations

import pandas as pd

from spinalroots.expert.tables import HUMAN, SIMULATED
from spinalroots.metrics.measurements import BINARY_DICE
from spinalroots.metrics.tables import values_of
from spinalroots.registry import paths
from spinalroots.registry.anatomy import REFINED_LEVELS
from spinalroots.registry.models import MODELS
from spinalroots.report import paper
from spinalroots.report.blocks import Drawing, Folded, Section, Table, Text, missing
from spinalroots.report.charts import Strip, curves, heat_grid, strip_chart
from spinalroots.report.inputs import Inputs
from spinalroots.report.numbers import cell, mean_sd, number, signed

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
    ("level_error_mm_median", "level error, mm", 1),
    ("entry_error_mm_median", "entry error, mm", 1),
    ("missed_levels", "levels missed", 2),
)


_FEWEST_VOXELS = 50
"""A bin of the reliability curve with fewer voxels is noise and is not drawn."""


def table_one(inputs: Inputs, synthetic: bool) -> Section:
    """Table I beside the paper's, the dots behind it, and every other metric."""
    table, cases = inputs.table(paths.TABLE_MODELS), inputs.table(paths.METRICS_CASES)
    metrics = inputs.json(paths.METRICS) or {}
    section = Section("models", "The models compared")
    if table is None or cases is None:
        section.blocks.append(missing("table of models", "evaluate"))
        return section
    section.blocks.append(Text(NOT_COMPARABLE if synthetic else DIFFERENT_PATIENTS, "caution"))
    section.blocks.append(_beside_the_paper(table))
    section.blocks.append(
        Drawing(
            strip_chart(_strips(table, cases, metrics), "binary Dice"),
            "Binary Dice: a dot per test case, a bar at the mean with its 95 % bootstrap interval, "
            "and a diamond at the paper's mean.",
        )
    )
    section.blocks.append(_other_metrics(metrics))
    pairs = inputs.table(paths.COMPARISONS)
    if pairs is not None:
        section.blocks.append(Folded("Paired comparison of the models", _pairs(pairs)))
    return section


def _beside_the_paper(table: pd.DataFrame) -> Table:
    rows, best = [], None
    simulated = table[table["expert_score_source"] == SIMULATED].reset_index(drop=True)
    human = table[table["expert_score_source"] == HUMAN].set_index("model")
    for index, row in simulated.iterrows():
        model, printed = MODELS[row["model"]], paper.TABLE_ONE.get(row["model"])
        given = human.loc[row["model"]] if row["model"] in human.index else None
        rows.append(
            (
                paper.title(model),
                str(row["n_cases"]),
                mean_sd(row["binary_dice_mean"], row["binary_dice_sd"]),
                mean_sd(*printed.dice) if printed else "–",
                mean_sd(row["expert_score_mean"], row["expert_score_sd"], 2),
                "–"
                if given is None
                else f"{mean_sd(given['expert_score_mean'], given['expert_score_sd'], 2)} "
                f"(n = {given['n_cases']})",
                mean_sd(*printed.expert, 2) if printed and printed.expert else "–",
            )
        )
        if best is None or row["binary_dice_mean"] > simulated["binary_dice_mean"][best]:
            best = index
    headers = (
        "Model",
        "Cases",
        "Binary Dice here",
        "Dice, paper",
        "Expert score, simulated",
        "Expert score, human",
        "Expert score, paper",
    )
    caption = (
        "Mean ± SD over the test cases. Expert score: 0.5 no help, 1.0 nothing left to do; the "
        "simulated one is computed from the contour that would have to be drawn again and is no "
        "human's judgement. The highest Dice is bold; region rows are scored on their own roots."
    )
    return Table(headers, rows, caption, best)


def _strips(table: pd.DataFrame, cases: pd.DataFrame, metrics: dict) -> list[Strip]:
    strips = []
    for name in table["model"].drop_duplicates():
        values = values_of(cases, name, BINARY_DICE, MODELS[name].region)
        record, printed = metrics.get(name, {}), paper.TABLE_ONE.get(name)
        strips.append(
            Strip(
                paper.title(MODELS[name]),
                values.tolist(),
                float(values.mean()),
                record.get("binary_dice_low") or float("nan"),
                record.get("binary_dice_high") or float("nan"),
                printed.dice[0] if printed else None,
            )
        )
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


def _pairs(pairs: pd.DataFrame) -> list:
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
        "(−1 … 1). With this "
        f"many cases p cannot fall below {smallest:g}. Other metrics: `{paths.COMPARISONS}`."
    )
    return [Table(headers, rows, caption)]


def levels(inputs: Inputs) -> Section:
    """Dice of every level."""
    section = Section("levels", "Level by level")
    cases = inputs.table(paths.METRICS_CASES)
    if cases is None:
        section.blocks.append(missing("values per level", "evaluate"))
        return section
    found = cases[cases["metric"] == "level_dice"]
    means = found.groupby(["model", "label"])["value"].mean()
    names = [name for name in MODELS if name in set(found["model"])]
    grid = [[means.get((name, level)) for level in REFINED_LEVELS] for name in names]
    section.blocks.append(
        Drawing(
            heat_grid(
                [paper.title(MODELS[name]) for name in names], REFINED_LEVELS, grid, "level Dice"
            ),
            "Dice per spinal level, mean over the test cases. A level that is missed or invented "
            "counts as 0; one that is absent from reference and prediction is left out.",
        )
    )
    return section


def expert(inputs: Inputs) -> Section:
    """Expert scores by region, the two sources apart."""
    section = Section("expert", "Is it a help?")
    table = inputs.table(paths.TABLE_EXPERT)
    if table is None:
        section.blocks.append(missing("expert score", "evaluate"))
        return section
    for source, remark in (
        (
            SIMULATED,
            "Simulated: 1 − 0.5·min(1, contour to draw again ÷ contour to draw from nothing), "
            "slice by slice and root by root. A stand-in, not a judgement.",
        ),
        (HUMAN, "Human: what raters wrote with `spinalroots score`."),
    ):
        shown = table[table["expert_score_source"] == source]
        if not len(shown):
            section.blocks.append(
                Text("No human has scored a test case yet; `spinalroots score` adds a score.")
            )
            continue
        regions = [r for r in ("all", "thoracic", "lumbar", "sacral") if r in set(shown["region"])]
        by_place = {(row["model"], row["region"]): row for _, row in shown.iterrows()}
        rows = [
            (
                paper.title(MODELS[name]),
                *[
                    mean_sd(by_place[name, region]["mean"], by_place[name, region]["sd"], 2)
                    if (name, region) in by_place
                    else "–"
                    for region in regions
                ],
            )
            for name in shown["model"].drop_duplicates()
        ]
        section.blocks.append(Table(("Model", *regions), rows, remark))
    return section


def calibration(inputs: Inputs) -> Section:
    """Reliability curves."""
    section = Section("calibration", "How sure, how right?")
    table = inputs.table(paths.CALIBRATION)
    if table is None:
        section.blocks.append(missing("reliability curve", "evaluate"))
        return section
    lines = {
        paper.title(MODELS[name]): list(
            zip(rows["mean_probability"].tolist(), rows["observed"].tolist(), strict=True)
        )
        for name, rows in table[table["voxels"] >= _FEWEST_VOXELS].groupby("model", sort=False)
    }
    section.blocks.append(
        Drawing(
            curves(
                lines, "predicted probability of a root", "share that is root", unit_square=True
            ),
            "Voxels with a root probability of at least 0.01, in ten bins. Below the diagonal a "
            "model is surer than it is right. Calibration error by model: "
            f"`{paths.METRICS}`.",
        )
    )
    return section


def warnings(inputs: Inputs) -> Section:
    """What the plausibility check found in the test predictions."""
    section = Section("warnings", "Look here first")
    found = inputs.json(paths.PLAUSIBILITY)
    if found is None:
        section.blocks.append(missing("plausibility check", "evaluate"))
        return section
    section.blocks.append(
        Text(
            "Predictions that anatomy does not allow. A warning says where to look; no warning is "
            "no proof that a mask is right."
        )
    )
    if not found:
        section.blocks.append(Text("No prediction of a test case raised a warning."))
        return section
    table = pd.DataFrame(found)
    counts = table.groupby(["model", "kind"]).size().unstack(fill_value=0)
    kinds = sorted(counts.columns)
    rows = [
        (paper.title(MODELS[name]), *[str(counts.loc[name, kind]) for kind in kinds])
        for name in MODELS
        if name in counts.index
    ]
    section.blocks.append(Table(("Warnings", *[kind.replace("_", " ") for kind in kinds]), rows))
    every = [
        (row["case"], MODELS[row["model"]].name, row["label"], cell(row["message"]))
        for _, row in table.iterrows()
    ]
    section.blocks.append(
        Folded("Every warning", [Table(("Case", "Model", "Root", "What is odd"), every)])
    )
    return section
