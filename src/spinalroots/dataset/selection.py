"""Which cases of data/raw the pipeline works on, and which the networks learn from."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.files import read_json
from spinalroots.registry.anatomy import Scheme
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


@dataclass(frozen=True)
class TrainingCase:
    """Case `name` of `dataset`; `parent` is the case it was augmented from, or itself."""

    dataset: Dataset
    name: str
    parent: str


def training_cases(names: Collection[str], datasets: Iterable[Dataset]) -> list[TrainingCase]:
    """Cases of the `datasets` that are, or were augmented from, one of `names`.

    A variant goes where its parent goes (`parent` of its sidecar), so that nothing of a held-out
    scan is ever learnt from.

    :param names: a part of the split.
    :returns: in the order of the data sets, sorted by name within each.
    """
    found = [
        TrainingCase(dataset, name, _parent(dataset, name))
        for dataset in datasets
        for name in dataset.cases_if_any()
    ]
    wanted = set(names)
    return [case for case in found if case.parent in wanted]


def with_map(cases: Iterable[TrainingCase], scheme: Scheme) -> tuple[list[TrainingCase], list[str]]:
    """The cases that have a label map of `scheme`, and the names of those that lack it."""
    cases = list(cases)
    having = [case for case in cases if case.dataset.has(case.name, scheme)]
    return having, [case.name for case in cases if not case.dataset.has(case.name, scheme)]


def _parent(dataset: Dataset, name: str) -> str:
    sidecar = dataset.sidecar(name)
    return read_json(sidecar).get("parent", name) if sidecar.is_file() else name
