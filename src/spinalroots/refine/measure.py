"""What refinement did, measured against a truth that only a phantom has."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

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
    classes = len(target.values) + 1
    sizes = [np.bincount(entry.ravel(), minlength=classes) for entry in (drawn_by, refined_by)]
    true_size = np.bincount(truth_by.ravel(), minlength=classes)
    hits = [
        np.bincount(entry[entry == truth_by].ravel(), minlength=classes)
        for entry in (drawn_by, refined_by)
    ]
    dice = {}
    for index, value in enumerate(target.values, start=1):
        if sizes[0][index]:
            before, after = (
                2 * hits[step][index] / (sizes[step][index] + true_size[index]) for step in (0, 1)
            )
            dice[value] = (float(before), float(after))
    counted = (truth_by != 0) & (entity != 0)
    right = [
        int(np.count_nonzero(counted & (entry == truth_by))) for entry in (drawn_by, refined_by)
    ]
    return Gain(dice, int(np.count_nonzero(counted)), *right)
