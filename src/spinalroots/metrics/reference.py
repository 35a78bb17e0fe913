"""What a prediction is held against: a synthetic case's truth, a real case's annotation."""

from __future__ import annotations

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import PHANTOM, SelectedCase
from spinalroots.imaging.boxes import paste
from spinalroots.imaging.volume import Grid, read_labels
from spinalroots.metrics.root_maps import RootMaps, kept, read_maps
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels, label_names


def read_reference(
    case: SelectedCase, target: Target, grid: Grid, *, truth: Dataset, refined: Dataset
) -> RootMaps:
    """The target's roots of a case as they ought to be found, on the scan's RAS+ `grid`.

    :param truth: holds the synthetic cases' roots; `refined` holds the annotation of the others.
    """
    if case.source == PHANTOM:
        return read_truth(truth, case.name, target)
    return read_annotation(refined, case.name, target, grid)


def read_truth(truth: Dataset, case: str, target: Target) -> RootMaps:
    """A synthetic case's truth, restricted to the target, the level map derived from the roots.

    The truth holds every root. Its level map would mix dorsal with ventral, so only the individual
    map is read.
    """
    path = truth.labels(case, Scheme.INDIVIDUALS)
    individuals = kept(
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
