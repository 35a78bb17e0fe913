"""What a case brings and what it lacks, in words for a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinalroots.ingest.assemble import Key
from spinalroots.registry.anatomy import REFINED_LEVELS, REFINED_ROOTS, TISSUES, Scheme, label_names


@dataclass(frozen=True)
class CaseReport:
    """What is there and what is missing.

    `present`: scheme (and rater) → names of its labels; `missing`: sentences; `notes`: what was
    seen on the way. Notes may hold the source's file names, so they are shown and never stored.
    """

    present: dict[str, list[str]]
    missing: list[str]
    notes: list[str]

    def lines(self) -> list[str]:
        """The report as lines of text."""
        shown = [
            f"has {title}: {_shorten(names)}" if names else f"has {title}, but empty"
            for title, names in self.present.items()
        ]
        lacking = [f"lacks {sentence}" for sentence in self.missing]
        return shown + lacking + [f"note: {note}" for note in self.notes]


def report_of(maps: dict[Key, np.ndarray], notes: list[str]) -> CaseReport:
    """The report of a case's label maps, (rater, scheme) → (X, Y, Z)."""
    present = {}
    union: dict[Scheme, set[str]] = {scheme: set() for scheme in Scheme}
    for (rater, scheme), labels in maps.items():
        table = label_names(scheme)
        names = [table[value] for value in np.unique(labels).tolist() if value]
        present[f"{scheme} (rater {rater})" if rater else str(scheme)] = names
        union[scheme].update(names)
    return CaseReport(present, _missing(union), list(notes))


def _missing(union: dict[Scheme, set[str]]) -> list[str]:
    missing = []
    if not union[Scheme.ENTITY]:
        missing.append("a mask of all roots: refinement has nothing to grow the labels into")
    if not union[Scheme.INDIVIDUALS]:
        missing.append("individual roots")
    elif absent := [
        str(root) for root in REFINED_ROOTS if str(root) not in union[Scheme.INDIVIDUALS]
    ]:
        missing.append(f"individual roots {_shorten(absent)}")
    levels = union[Scheme.LEVELS] | {name.split("_")[0] for name in union[Scheme.INDIVIDUALS]}
    if not levels:
        missing.append("levels: the scan can be predicted, but neither trained nor tested on")
    elif absent := [level for level in REFINED_LEVELS if level not in levels]:
        missing.append(f"levels {_shorten(absent)}")
    if absent := [tissue for tissue in TISSUES if tissue not in union[Scheme.TISSUES]]:
        missing.append(f"tissues {', '.join(absent)}")
    return missing


def _shorten(names: list[str], most: int = 24) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} … ({len(names)} in all)" if len(names) > most else shown
