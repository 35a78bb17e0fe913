"""What a trained model must beat: its own network before it learnt anything, and an empty mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinalroots.imaging.volume import read_labels, require_same_grid
from spinalroots.metrics.overlap import dice
from spinalroots.metrics.reference import RootMaps
from spinalroots.metrics.scores import Measurement

UNTRAINED, EMPTY = "binary_dice_untrained", "binary_dice_empty"


def baselines(untrained: Path, reference: RootMaps, region: str) -> list[Measurement]:
    """Binary Dice (1 is best) of an untrained network's labels and of an empty mask.

    :param untrained: label map of the untrained network on the scan's grid; where there is none,
        the list is empty.
    :param reference: the target's roots on the same RAS+ grid.
    :raises InputError: the two lie on different grids.
    """
    if not untrained.is_file():
        return []
    labels = read_labels(untrained)
    require_same_grid(untrained, labels, "the reference", reference.levels)
    truth = reference.levels.data > 0
    return [
        Measurement(UNTRAINED, region, dice(truth, labels.data > 0)),
        Measurement(EMPTY, region, dice(truth, np.zeros_like(truth))),
    ]
