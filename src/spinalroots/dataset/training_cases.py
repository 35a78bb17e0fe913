"""Cases that networks learn from: a part of the split, and what was augmented from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from spinalroots.dataset.layout import Dataset
from spinalroots.files import read_json
from spinalroots.registry.anatomy import Scheme


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
    return [case for case in found if case.parent in names]


def with_map(cases: Iterable[TrainingCase], scheme: Scheme) -> tuple[list[TrainingCase], list[str]]:
    """The cases that have a label map of `scheme`, and the names of those that lack it."""
    cases = list(cases)
    having = [case for case in cases if case.dataset.has(case.name, scheme)]
    return having, [case.name for case in cases if not case.dataset.has(case.name, scheme)]


def _parent(dataset: Dataset, name: str) -> str:
    sidecar = dataset.sidecar(name)
    return read_json(sidecar).get("parent", name) if sidecar.is_file() else name
