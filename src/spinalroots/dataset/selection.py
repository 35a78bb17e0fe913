"""Which cases of data/raw the pipeline works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spinalroots.dataset.layout import Dataset

if TYPE_CHECKING:
    from spinalroots.pipeline.params import Params

RAW = Path("data/raw")
PHANTOM = "phantom"
INGESTED = "ingested"


@dataclass(frozen=True)
class SelectedCase:
    """A case `name` of `dataset`; `source` is `phantom` or `ingested` and is never mixed up."""

    name: str
    dataset: Dataset
    source: str


def selected_cases(params: Params, raw: Path = RAW) -> list[SelectedCase]:
    """The cases that `data.source` chooses, ordered by source and name.

    `phantom`: every phantom case. `ingested`: every ingested one, and after them the first
    `data.phantom_cases` phantom cases, which are extra training data and never tested on.

    :raises InputError: the chosen data set holds no case.
    """
    phantom, ingested = Dataset(raw / PHANTOM), Dataset(raw / INGESTED)
    if params.data.source == PHANTOM:
        return [SelectedCase(name, phantom, PHANTOM) for name in phantom.cases()]
    chosen = [SelectedCase(name, ingested, INGESTED) for name in ingested.cases()]
    if params.data.phantom_cases:
        extra = phantom.cases()[: params.data.phantom_cases]
        chosen += [SelectedCase(name, phantom, PHANTOM) for name in extra]
    return chosen
