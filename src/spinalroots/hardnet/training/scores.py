"""Dice of a straightened stack, quick enough for every validation."""

from __future__ import annotations

import numpy as np

from spinalroots.hardnet.training.losses import UNKNOWN_ROOT
from spinalroots.inference.decoding import decode
from spinalroots.registry.anatomy import Target


def stack_dice(
    chances: np.ndarray, classes: np.ndarray, target: Target, decoding: str
) -> np.ndarray:
    """Dice (1 + n,) of class probabilities (classes, S, S, Z): binary first, then each label.

    `classes` (S, S, Z) as in a straightened case; a root of unknown level
    counts for the binary Dice only. A label that neither side has is nan.
    """
    predicted = target.encode(decode(chances, target, decoding))
    scores = [dice(predicted > 0, classes > 0)]
    known = classes != UNKNOWN_ROOT
    for value in range(1, len(target.values) + 1):
        scores.append(dice((predicted == value) & known, classes == value))
    return np.array(scores)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two masks; nan if both are empty."""
    size = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / size if size else float("nan")
