"""The gain of refinement over all cases: the table and the figures of the report."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots import pictures
from spinalroots.refine.dataset import CaseResult
from spinalroots.refine.refinement import selection
from spinalroots.registry.anatomy import ROOTS, Scheme, label_colour
from spinalroots.settings.dataset import Refine


def gain_table(results: list[CaseResult], params: Refine) -> pd.DataFrame:
    """label, dice_before, dice_after, voxels_before, voxels_after: one row for every chosen root.

    Dice is the mean over the cases in which the annotator drew the root and a truth is known: the
    synthetic ones. It is empty without one. Voxels are those of all cases.
    """
    target = selection(params)
    scores: dict[int, list] = defaultdict(list)
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for result in results:
        before.update(result.drawn)
        after.update(result.kept)
        if result.gain:
            for value, pair in result.gain.dice.items():
                scores[value].append(pair)
    rows = []
    for value, name in zip(target.values, target.names, strict=True):
        dice = np.mean(scores[value], axis=0) if scores[value] else (np.nan, np.nan)
        rows.append((name, *np.round(dice, 4), before[name], after[name]))
    columns = ["label", "dice_before", "dice_after", "voxels_before", "voxels_after"]
    return pd.DataFrame(rows, columns=columns)


def summary(results: list[CaseResult], table: pd.DataFrame) -> dict:
    """The figures of reports/refinement.json."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
    reachable = counts["entity"] - counts["unreachable"]
    figures = {
        "cases": sum(result.refined for result in results),
        "cases_measured_against_a_truth": sum(result.gain is not None for result in results),
        "cases_by_source": dict(
            sorted(Counter(result.source for result in results if result.refined).items())
        ),
        "cases_without_roots": [result.name for result in results if not result.refined],
        "entity_voxels": counts["entity"],
        "spill_voxels": counts["spill"],
        "repaired_voxels": counts["repaired"],
        "unreachable_voxels": counts["unreachable"],
        "coverage_before": _share(counts["labelled_before"], counts["entity"]),
        "coverage_of_reachable": _share(counts["labelled_after"], reachable),
    }
    measured = table.dropna()
    if len(measured):
        margins = measured["dice_after"] - measured["dice_before"]
        figures |= {
            "dice_before": round(float(measured["dice_before"].mean()), 4),
            "dice_after": round(float(measured["dice_after"].mean()), 4),
            "dice_margin_worst_label": round(float(margins.min()), 4),
            **_right_shares(results),
        }
    figures["by_case"] = {
        result.name: result.counts | ({"agreement": result.agreement} if result.agreement else {})
        for result in results
        if result.refined
    }
    return figures


def _right_shares(results: list[CaseResult]) -> dict[str, float]:
    measured = [result.gain for result in results if result.gain]
    plain = [result.plain_gain for result in results if result.gain and result.plain_gain]
    voxels = sum(gain.truth_voxels for gain in measured)
    return {
        "share_right_before": _share(sum(gain.right_before for gain in measured), voxels),
        "share_right_after": _share(sum(gain.right_after for gain in measured), voxels),
        "share_right_after_flood_fill_alone": _share(sum(g.right_after for g in plain), voxels),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 1.0


def draw(path: Path, results: list[CaseResult], table: pd.DataFrame) -> None:
    """Cases per root before and after refinement, and the Dice where there is a truth (PNG)."""
    before = Counter(root for result in results for root in result.drawn)
    after = Counter(root for result in results for root in result.kept)
    measured = table.dropna()
    figure = pictures.new_figure(11, 8 if len(measured) else 5.5)
    panels = figure.subplots(3 if len(measured) else 2, 1)
    highest = max([*before.values(), *after.values(), 1]) * 1.1
    titles = ("before: every annotated root", "after refinement")
    for panel, counts, title in zip(panels, (before, after), titles, strict=False):
        roots = [root for root in ROOTS if counts[str(root)]]
        colours = [[c / 255 for c in label_colour(Scheme.INDIVIDUALS, r.value)] for r in roots]
        panel.bar([str(r) for r in roots], [counts[str(r)] for r in roots], color=colours)
        panel.set(ylabel="cases", ylim=(0, highest))
        panel.yaxis.get_major_locator().set_params(integer=True)
        panel.set_title(f"{title} ({len(roots)} classes)", loc="left", fontsize=10)
    if len(measured):
        places = np.arange(len(measured))
        bars = (("before", -0.2, "as annotated", "#b8b8b8"), ("after", 0.2, "refined", "#3b6ea5"))
        for when, aside, label, colour in bars:
            dice = measured[f"dice_{when}"]
            panels[2].bar(places + aside, dice, 0.4, label=label, color=colour)
        panels[2].set_xticks(places, measured["label"])
        panels[2].set(ylabel="Dice against the truth", ylim=(0, 1.15))
        panels[2].legend(ncols=2, frameon=False, loc="upper left")
    for panel in panels:
        panel.tick_params(axis="x", rotation=90, labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.01)
    pictures.save(path, figure)
