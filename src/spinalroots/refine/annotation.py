"""What refinement starts from: one map per scheme, a consensus where several raters drew."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spinalroots.dataset.annotations import maps, read_map
from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import Volume, require_same_grid
from spinalroots.refine.consensus import Agreement, consensus
from spinalroots.registry.anatomy import Scheme, individuals_to_levels


@dataclass(frozen=True)
class Annotation:
    """A case's masks on its RAS+ grid, uint8 arrays (X, Y, Z); None where there is none.

    `volume` is any of the maps and carries the grid; `agreement`: scheme → how far raters agree.
    """

    volume: Volume
    entity: np.ndarray | None
    levels: np.ndarray | None
    individuals: np.ndarray | None
    tissues: np.ndarray | None
    agreement: dict[str, Agreement] = field(default_factory=dict)

    @property
    def has_roots(self) -> bool:
        """Whether any root is labelled by level at least: without, there is nothing to learn."""
        return any(
            labels is not None and labels.any() for labels in (self.levels, self.individuals)
        )

    def roots(self) -> np.ndarray:
        """The entity mask (bool); without one, wherever a root is labelled."""
        if self.entity is not None:
            return self.entity != 0
        present = [labels for labels in (self.individuals, self.levels) if labels is not None]
        return np.any([labels != 0 for labels in present], axis=0)

    def level_labels(self) -> np.ndarray:
        """Level of every labelled voxel (uint8): from the level map, else the individual map."""
        if self.individuals is None:
            empty = np.zeros(self.volume.data.shape, np.uint8)
            return empty if self.levels is None else self.levels
        levels = individuals_to_levels(self.individuals)
        return levels if self.levels is None else np.where(self.levels != 0, self.levels, levels)


def read_annotation(dataset: Dataset, case: str) -> Annotation | None:
    """Read all maps of a case; None if it has none.

    :raises InputError: a map with unknown values, or maps that lie on different grids.
    """
    found = {}
    agreement = {}
    volume = None
    drawn = maps(dataset, case)
    for scheme in Scheme:
        by_raters = [entry for entry in drawn if entry.scheme is scheme]
        agreed = [entry for entry in by_raters if not entry.rater]
        arrays = []
        for entry in agreed or by_raters:
            read = read_map(dataset, case, entry)
            volume = volume or read
            require_same_grid(entry.path, read, "the case's other masks", volume)
            arrays.append(read.data)
        if len(arrays) > 1:
            found[scheme], agreement[str(scheme)] = consensus(arrays, scheme)
        elif arrays:
            found[scheme] = arrays[0]
    if volume is None:
        return None
    by_scheme = {str(scheme): found.get(scheme) for scheme in Scheme}
    return Annotation(volume, agreement=agreement, **by_scheme)
