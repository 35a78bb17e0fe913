"""Which cases of data/raw the pipeline works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.registry.paths import INGESTED, PHANTOM
from spinalroots.settings.dataset import Data


@dataclass(frozen=True)
class SelectedCase:
    """A case `name` of `dataset`; `source` is `phantom` or `ingested` and is never mixed up."""

    name: str
    dataset: Dataset
    source: str

    @property
    def synthetic(self) -> bool:
        """Whether its truth is known."""
        return self.source == PHANTOM.name


def selected_cases(data: Data, raw: Path) -> list[SelectedCase]:
    """The cases below the folder `raw` that `data.source` chooses, ordered by source and name.

    `phantom`: every phantom case. `ingested`: every ingested one, and after them the first
    `data.phantom_cases` phantom cases, which are extra training data and never tested on.

    :raises InputError: the chosen data set holds no case.
    """
    main = Dataset(raw / data.source)
    chosen = [SelectedCase(name, main, data.source) for name in main.cases()]
    if data.source == INGESTED.name and data.phantom_cases:
        extra = Dataset(raw / PHANTOM.name)
        names = extra.cases()[: data.phantom_cases]
        chosen += [SelectedCase(name, extra, PHANTOM.name) for name in names]
    return chosen
