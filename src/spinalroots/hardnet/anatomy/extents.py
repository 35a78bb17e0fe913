"""How high and how low along the spine each level's roots run, in one person and in another.

Roots leave at vertebrae that are evenly spaced, and the cord ends higher or lower beside them: one
number a person moves all levels together. So a level that is sure says which its neighbours are.
Heights in mm above the end of the cord.
"""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import expit

from spinalroots.hardnet.anatomy.naming import ABOVE, BELOW, tables
from spinalroots.hardnet.anatomy.sampling import Stack
from spinalroots.settings.base import Section

LEAST = 0.02
"""Odds of a level out of its extent."""
MOVED = np.linspace(-3, 3, 31)
"""In spreads of the persons seen: what is tried."""
TRUST, EVERY = 0.01, 3
"""Weight of a voxel against what is known of persons, for voxels of a root say much the same; only
each third is asked."""
ABOVE_MM, BELOW_MM = 32.0, 5.0
"""The lowest root above the named levels ends so much above the first of these; the highest one
below begins so much below the last."""

OfLevels = Annotated[list[float], Field(min_length=BELOW - 1, max_length=BELOW - 1)]


class Extents(Section):
    """Of each named level: the mean person's lowest and highest place, and how much these are
    higher in one who differs by one spread."""

    lowest_mm: OfLevels
    highest_mm: OfLevels
    lowest_step_mm: OfLevels
    highest_step_mm: OfLevels

    def there(self, heights_mm: np.ndarray, moved: float, edge_mm: float) -> np.ndarray:
        """Odds (LEVEL_CLASSES, Z) of each level at the heights (Z,), near 1 in its extent, whose
        ends are soft over `edge_mm`."""
        low = np.add(self.lowest_mm, np.multiply(moved, self.lowest_step_mm))
        high = np.add(self.highest_mm, np.multiply(moved, self.highest_step_mm))
        low = np.concatenate([[low[0] + ABOVE_MM], low, [-np.inf]])[:, None]
        high = np.concatenate([[np.inf], high, [high[-1] - BELOW_MM]])[:, None]
        inside = expit((heights_mm - low) / edge_mm) * expit((high - heights_mm) / edge_mm)
        return LEAST + (1 - LEAST) * inside

    def fitted(
        self,
        chances: np.ndarray,
        weight: np.ndarray,
        z: np.ndarray,
        heights_mm: np.ndarray,
        edge_mm: float,
    ) -> np.ndarray:
        """Odds (LEVEL_CLASSES, Z) as :meth:`there`, of the person that fits the voxels best.

        :param chances: (LEVEL_CLASSES, N) of each voxel's level; `weight` (N,), `z` (N,) its slice.
        :param heights_mm: (Z,).
        """
        chances, weight, z = chances[:, ::EVERY], weight[::EVERY] * EVERY, z[::EVERY]
        best, most = np.empty(0), -np.inf
        for moved in MOVED:
            there = self.there(heights_mm, moved, edge_mm)
            explained = np.log((chances * there[:, z]).sum(axis=0) + 1e-6) @ weight
            likely = TRUST * explained - moved**2 / 2
            if likely > most:
                best, most = there, likely
        return best


def learned(stacks: Iterable[Stack]) -> Extents | None:
    """Mean and first principal component of the dorsal roots' ends in cases whose cord ends in
    view; None where fewer than two have one, or a level is in none of them."""
    level, ventral, _ = tables()
    rows = []
    for stack in stacks:
        heights_mm = stack.coordinates[1]
        if np.isnan(heights_mm).any():
            continue
        levels = np.where(ventral[stack.roots] == 0, level[stack.roots], ABOVE)
        row = np.full((2, BELOW), np.nan)
        for one in range(1, BELOW):
            found = heights_mm[(levels == one).any(axis=(0, 1))]
            if found.size:
                row[:, one] = found.min(), found.max()
        rows.append(row[:, 1:].ravel())
    known = np.array(rows)
    if len(rows) < 2 or np.isnan(known).all(axis=0).any():
        return None
    mean = np.nanmean(known, axis=0)
    _, spreads, axes = np.linalg.svd(np.nan_to_num(known - mean), full_matrices=False)
    step = axes[0] * spreads[0] / np.sqrt(len(rows))
    step = step if step.sum() > 0 else -step
    ends = (part.round(2).tolist() for whole in (mean, step) for part in np.split(whole, 2))
    return Extents.model_validate(dict(zip(Extents.model_fields, ends, strict=True)))
