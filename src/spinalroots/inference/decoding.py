"""From class probabilities to labels, and how sure they are."""

from __future__ import annotations

import numpy as np

from spinalroots.errors import InputError
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import Decoding

SURE = 0.999
"""Probability of the background from which nothing is asked any further."""


def decode(probabilities: np.ndarray, target: Target, rule: Decoding) -> np.ndarray:
    """Class probabilities (classes, ...) → stored label values (...), uint8."""
    own = probabilities[1 : len(target.values) + 1]
    best = own.argmax(axis=0).astype(np.uint8) + np.uint8(1)
    if rule == "entity_first":
        rest = probabilities[len(target.values) + 1 :].sum(axis=0)
        root = (own.sum(axis=0) > probabilities[0]) & (own.sum(axis=0) > rest)
    elif rule == "argmax":
        root = probabilities.argmax(axis=0) == best
    else:
        raise InputError(
            "decoding", expected="argmax or entity_first", found=repr(rule), fix="Correct it."
        )
    return target.decode(np.where(root, best, np.uint8(0)))


def uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of class probabilities (classes, ...) over the largest possible: 0 sure … 1 no idea.

    ``-Σ p log p ÷ log classes`` (Shannon 1948). High at the edge of a root, and inside one whose
    level is in doubt, which P(any root) does not show. A background above `SURE` counts as sure.
    """
    asked = probabilities[0] < SURE
    chances = np.clip(probabilities[:, asked], 1e-12, 1)
    entropy = np.zeros(asked.shape, np.float32)
    entropy[asked] = -(chances * np.log(chances)).sum(axis=0) / np.log(len(probabilities))
    return entropy
