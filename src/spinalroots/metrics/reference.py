"""What a prediction is held against, and which cases may be scored at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.boxes import paste
from spinalroots.imaging.volume import Grid, Volume, read_labels
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels, label_names

_AUGMENTED = re.compile(r"aug\d+$")


@dataclass(frozen=True)
class RootMaps:
    """Roots of one scan on its grid (RAS+): by level, and by root where that is known.

    `individuals` is None for a case that is annotated by level only.
    """

    levels: Volume
    individuals: Volume | None

    def restricted(self, target: Target) -> RootMaps:
        """Only the target's levels and types; every other root becomes background.

        A level map does not know dorsal from ventral: its voxels are kept by level.
        """
        of = {scheme: Target(scheme, target.levels, target.types) for scheme in _SCHEMES}
        individuals = self.individuals and _keep(self.individuals, of[Scheme.INDIVIDUALS])
        return RootMaps(_keep(self.levels, of[Scheme.LEVELS]), individuals)


_SCHEMES = (Scheme.LEVELS, Scheme.INDIVIDUALS)


def read_maps(dataset: Dataset, case: str) -> RootMaps:
    """The case's level and individual map; a missing one of the two is derived or None.

    :raises InputError: the case has neither.
    """
    found = {
        scheme: read_labels(dataset.labels(case, scheme), set(label_names(scheme)))
        for scheme in _SCHEMES
        if dataset.has(case, scheme)
    }
    if not found:
        raise InputError(
            dataset.labels(case, Scheme.LEVELS),
            expected=f"a level map or an individual map of {case}",
            found="neither",
            fix="Run `dvc repro`, or annotate the case.",
        )
    individuals = found.get(Scheme.INDIVIDUALS)
    levels = found.get(Scheme.LEVELS)
    if levels is None:
        levels = individuals.with_data(individuals_to_levels(individuals.data))
    return RootMaps(levels, individuals)


def read_truth(truth: Dataset, case: str, target: Target) -> RootMaps:
    """A synthetic case's truth, restricted to the target, the level map derived from the roots.

    The truth holds every root. Its level map would mix dorsal with ventral, so only the individual
    map is read.
    """
    path = truth.labels(case, Scheme.INDIVIDUALS)
    individuals = _keep(
        read_labels(path, set(label_names(Scheme.INDIVIDUALS))),
        Target(Scheme.INDIVIDUALS, target.levels, target.types),
    )
    return RootMaps(individuals.with_data(individuals_to_levels(individuals.data)), individuals)


def read_annotation(refined: Dataset, case: str, target: Target, grid: Grid) -> RootMaps:
    """A real case's refined annotation, laid back onto the scan's RAS+ `grid`.

    The refined masks are cropped to the annotated stretch. What a model finds outside it counts as
    invented, as on a fully annotated case.
    """
    maps = read_maps(refined, case).restricted(target)
    return RootMaps(
        paste(maps.levels, grid, refined.labels(case, Scheme.LEVELS)),
        maps.individuals
        and paste(maps.individuals, grid, refined.labels(case, Scheme.INDIVIDUALS)),
    )


def require_unseen(cases: Iterable[str], split: dict[str, list[str]]) -> None:
    """:class:`InputError` if a case, or an augmented child of it, was trained or validated on."""
    seen = {
        _AUGMENTED.sub("", case): part
        for part in ("train", "validation")
        for case in split.get(part, [])
    }
    for case in cases:
        if part := seen.get(_AUGMENTED.sub("", case)):
            raise InputError(
                f"case {case}",
                expected="a case that no model has seen",
                found=f"one of the {part} cases",
                fix="Score test cases only; see data/split.json.",
            )


def _keep(labels: Volume, target: Target) -> Volume:
    return labels.with_data(target.decode(target.encode(labels.data)))
