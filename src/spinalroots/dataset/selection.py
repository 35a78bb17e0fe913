"""Which cases of data/raw the pipeline works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.settings.dataset import Data

PHANTOM, INGESTED = "phantom", "ingested"
"""Sources of scans; each has its own folder of this name."""


@dataclass(frozen=True)
class SelectedCase:
    """A case `name` of `dataset`; `source` is `phantom` or `ingested` and is never mixed up."""

    name: str
    dataset: Dataset
    source: str


def selected_cases(data: Data, raw: Path) -> list[SelectedCase]:
    """The cases below the folder `raw` that `data.source` chooses, ordered by source and name.

    `phantom`: every phantom case. `ingested`: every ingested one, and after them the first
    `data.phantom_cases` phantom cases, which are extra training data and never tested on.

    :raises InputError: the chosen data set holds no case.
    """
    phantom, ingested = Dataset(raw / PHANTOM), Dataset(raw / INGESTED)
    if data.source == PHANTOM:
        return [SelectedCase(name, phantom, PHANTOM) for name in phantom.cases()]
    chosen = [SelectedCase(name, ingested, INGESTED) for name in ingested.cases()]
    if data.phantom_cases:
        extra = phantom.cases()[: data.phantom_cases]
        chosen += [SelectedCase(name, phantom, PHANTOM) for name in extra]
    return chosen
