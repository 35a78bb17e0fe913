"""The paper's Figure 2 for refinement: how often every class occurs, before and after."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from spinalroots import pictures
from spinalroots.refine.dataset import CaseResult
from spinalroots.registry.anatomy import ROOTS, Scheme, label_colour


def draw(path: Path, results: list[CaseResult], table: pd.DataFrame) -> None:
    """Cases per root before and after refinement, and the Dice where there is a truth (PNG)."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for result in results:
        before.update(result.drawn.keys())
        after.update(result.kept.keys())
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
        places = range(len(measured))
        panels[2].bar(
            [place - 0.2 for place in places], measured["dice_before"], 0.4, label="as annotated",
            color="#b8b8b8",
        )  # fmt: skip
        panels[2].bar(
            [place + 0.2 for place in places], measured["dice_after"], 0.4, label="refined",
            color="#3b6ea5",
        )  # fmt: skip
        panels[2].set_xticks(list(places), measured["label"])
        panels[2].set(ylabel="Dice against the truth", ylim=(0, 1.15))
        panels[2].legend(ncols=2, frameon=False, loc="upper left")
    for panel in panels:
        panel.tick_params(axis="x", rotation=90, labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.01)
    pictures.save(path, figure)
