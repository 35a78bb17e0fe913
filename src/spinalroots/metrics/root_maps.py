"""The roots of one scan, by level and by root, and the part of them that a model is about."""

from __future__ import annotations

from dataclasses import dataclass

from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import Volume, read_labels
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels, label_names

_SCHEMES = (Scheme.LEVELS, Scheme.INDIVIDUALS)


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
        individuals = self.individuals and kept(self.individuals, of[Scheme.INDIVIDUALS])
        return RootMaps(kept(self.levels, of[Scheme.LEVELS]), individuals)


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
    if individuals is None or Scheme.LEVELS in found:
        return RootMaps(found[Scheme.LEVELS], individuals)
    return RootMaps(individuals.with_data(individuals_to_levels(individuals.data)), individuals)


def kept(labels: Volume, target: Target) -> Volume:
    """A label map with the target's labels only; every other voxel becomes background."""
    return labels.with_data(target.decode(target.encode(labels.data)))
