"""What refinement did, measured against a truth that only a phantom has."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spinalroots.metrics.overlap import dice_per_label
from spinalroots.registry.anatomy import Target


@dataclass(frozen=True)
class Gain:
    """One case before and after.

    `dice`: label value → (before, after), of the labels that the annotator drew in this case.
    `truth_voxels`: entity voxels that truly belong to a chosen root; `right_before`, `right_after`:
    those of them that carry the right label.
    """

    dice: dict[int, tuple[float, float]] = field(default_factory=dict)
    truth_voxels: int = 0
    right_before: int = 0
    right_after: int = 0


def gain(
    drawn: np.ndarray, refined: np.ndarray, truth: np.ndarray, entity: np.ndarray, target: Target
) -> Gain:
    """Hold an individual map before and after refinement against the truth.

    :param drawn, refined, truth: individual maps (X, Y, Z) on one grid, stored label values.
    :param entity: the annotator's mask of all roots (X, Y, Z).
    """
    drawn_by, refined_by, truth_by = (target.encode(labels) for labels in (drawn, refined, truth))
    present = [index for index in range(1, len(target.values) + 1) if (drawn_by == index).any()]
    before, after = (dice_per_label(truth_by, found, present) for found in (drawn_by, refined_by))
    counted = (truth_by != 0) & (entity != 0)
    right = [
        int(np.count_nonzero(counted & (entry == truth_by))) for entry in (drawn_by, refined_by)
    ]
    return Gain(
        {target.values[index - 1]: (before[index], after[index]) for index in present},
        int(np.count_nonzero(counted)),
        *right,
    )
