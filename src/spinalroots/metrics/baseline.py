"""What a trained model must beat: its own network before it learnt anything, and an empty mask."""

from __future__ import annotations

import numpy as np

from spinalroots.metrics.measurements import Measurement
from spinalroots.metrics.overlap import dice

UNTRAINED, EMPTY = "binary_dice_untrained", "binary_dice_empty"


def baselines(untrained: np.ndarray, truth: np.ndarray, region: str) -> list[Measurement]:
    """Binary Dice (1 is best) of an untrained network's labels and of an empty mask.

    :param untrained: label map (X, Y, Z) of the untrained network.
    :param truth: label map of the target's roots, the same shape.
    """
    return [
        Measurement(UNTRAINED, region, dice(truth, untrained)),
        Measurement(EMPTY, region, dice(truth, np.zeros_like(truth))),
    ]
