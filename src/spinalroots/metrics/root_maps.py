"""The roots of one scan, by level and by root: predicted, or as they ought to be found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.learned import unnamed_roots
from spinalroots.dataset.selection import SelectedCase
from spinalroots.errors import InputError
from spinalroots.imaging.boxes import paste
from spinalroots.imaging.volume import Grid, Volume, read_labels
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels, label_names

_SCHEMES = (Scheme.LEVELS, Scheme.INDIVIDUALS)


@dataclass(frozen=True)
class RootMaps:
    """Roots of one scan on its grid (RAS+): by level, and by root where that is known.

    `individuals` is None for a case that is annotated by level only. `unnamed` (X, Y, Z) bool, of
    an annotation that is not complete: roots without a name, where nothing is right or wrong.
    """

    levels: Volume
    individuals: Volume | None
    unnamed: np.ndarray | None = None

    def restricted(self, target: Target) -> RootMaps:
        """Only the target's levels and types; every other root becomes background.

        A level map does not know dorsal from ventral: its voxels are kept by level.
        """
        of = {scheme: Target(scheme, target.levels, target.types) for scheme in _SCHEMES}
        individuals = self.individuals and kept(self.individuals, of[Scheme.INDIVIDUALS])
        return RootMaps(kept(self.levels, of[Scheme.LEVELS]), individuals, self.unnamed)

    def counted(self, volume: Volume) -> Volume:
        """A prediction on this reference's grid, 0 where its roots have no name."""
        return volume if self.unnamed is None else volume.with_data(volume.data * ~self.unnamed)

    def counted_maps(self, found: RootMaps) -> RootMaps:
        """As :meth:`counted`, of both maps."""
        return RootMaps(
            self.counted(found.levels), found.individuals and self.counted(found.individuals)
        )


def read_maps(dataset: Dataset, case: str) -> RootMaps:
    """The case's level and individual map; a missing one of the two is derived or None.

    :raises InputError: the case has neither.
    """
    found = {
        scheme: _read(dataset, case, scheme) for scheme in _SCHEMES if dataset.has(case, scheme)
    }
    if not found:
        raise InputError(
            dataset.labels(case, Scheme.LEVELS),
            expected=f"a level map or an individual map of {case}",
            found="neither",
            fix="Run `dvc repro`, or annotate the case.",
        )
    individuals = found.get(Scheme.INDIVIDUALS)
    if individuals is None or Scheme.LEVELS in found:
        return RootMaps(found[Scheme.LEVELS], individuals)
    return _from_roots(individuals)


def read_reference(
    case: SelectedCase, target: Target, grid: Grid, *, truth: Dataset, refined: Dataset
) -> RootMaps:
    """The target's roots of a case as they ought to be found, on the scan's RAS+ `grid`.

    :param truth: holds the synthetic cases' roots; `refined` holds the annotation of the others.
    """
    if case.synthetic:
        # Its own level map mixes dorsal with ventral, so that the roots are read and no levels.
        roots = _read(truth, case.name, Scheme.INDIVIDUALS)
        return _from_roots(kept(roots, Target(Scheme.INDIVIDUALS, target.levels, target.types)))
    return read_annotation(refined, case.name, target, grid)


def read_annotation(refined: Dataset, case: str, target: Target, grid: Grid) -> RootMaps:
    """A real case's refined annotation, laid back onto the scan's RAS+ `grid`.

    The refined masks are cropped to the annotated stretch. What a model finds outside it counts as
    invented, as on a fully annotated case; what it finds on a root without a name does not count.
    """
    whole = read_maps(refined, case)
    maps, unnamed = whole.restricted(target), None
    if refined.has(case, Scheme.ENTITY):
        path = refined.labels(case, Scheme.ENTITY)
        roots = read_labels(path)
        roots = roots.with_data(unnamed_roots(roots.data, whole.levels.data))
        unnamed = paste(roots, grid, path).data
    return RootMaps(
        paste(maps.levels, grid, refined.labels(case, Scheme.LEVELS)),
        maps.individuals
        and paste(maps.individuals, grid, refined.labels(case, Scheme.INDIVIDUALS)),
        unnamed,
    )


def _read(dataset: Dataset, case: str, scheme: Scheme) -> Volume:
    return read_labels(dataset.labels(case, scheme), set(label_names(scheme)))


def _from_roots(individuals: Volume) -> RootMaps:
    return RootMaps(individuals.with_data(individuals_to_levels(individuals.data)), individuals)


def kept(labels: Volume, target: Target) -> Volume:
    """A label map with the target's labels only; every other voxel becomes background."""
    return labels.with_data(target.decode(target.encode(labels.data)))
