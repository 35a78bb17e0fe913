"""How sure a network is, of two things apart: whether a voxel is root, and which root it is.

Raw probabilities are no frequencies. A temperature divides their logarithms so that they become
some, on cases that no network has learnt from (Guo 2017, arXiv 1706.04599). The likeliest answer
stays the likeliest.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from spinalroots.settings.base import Positive, Section

MOST_LOG = 3.0
"""Logarithm of the highest and, negative, of the lowest temperature."""
FEWEST = 100
"""Voxels below which nothing is fitted."""
LEAST = 1e-6
"""Chance that is told from none."""


class Temperatures(Section):
    """Of the two questions; 1 leaves a probability as the network gave it."""

    root: Positive = 1.0
    name: Positive = 1.0


def temperature(chances: np.ndarray, truth: np.ndarray) -> float:
    """The temperature with which probabilities (classes, N) explain the true classes (N,) best: the
    least negative logarithmic likelihood. 1 where fewer than `FEWEST` voxels are given."""
    if len(truth) < FEWEST:
        return 1.0
    logarithms, voxels = np.log(np.clip(chances.astype(float), LEAST, 1)), np.arange(len(truth))

    def loss(logarithm: float) -> float:
        return -log_softmax(logarithms / np.exp(logarithm), axis=0)[truth, voxels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-MOST_LOG, MOST_LOG), method="bounded").x))


def root_chance(chances: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (...) of root or not at this temperature; 0, ½ and 1 stay.

    >>> root_chance(np.array([0.0, 0.2, 0.5, 0.8]), 2.0).round(3).tolist()
    [0.0, 0.333, 0.5, 0.667]
    """
    with np.errstate(divide="ignore"):  # what was interpolated may be a hair above 1
        return expit(logit(chances.clip(0, 1)) / temperature).astype(chances.dtype)


def name_chance(roots: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Chance (...) that the likeliest root is the right one, given that there is a root: from
    chances (roots, ...) of all of them, those without a name included, at this temperature. 0
    where their sum is less than ½."""
    total = roots.sum(axis=0)
    asked = total >= 0.5
    found = np.zeros(total.shape, np.float32)
    found[asked] = name_chances(roots[:, asked], temperature).max(axis=0, initial=0)
    return found


def name_chances(roots: np.ndarray, temperature: float) -> np.ndarray:
    """Chances (roots, N) that add up to 1 a voxel, at this temperature, of chances of any scale."""
    shares = roots / np.maximum(roots.sum(axis=0), LEAST)
    return softmax(np.log(np.clip(shares, LEAST, 1)) / temperature, axis=0)


def root_doubt(chances: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Chance (...) that the answer to "is it root?" is wrong, from that of root and where one is
    `drawn`."""
    return np.where(drawn, 1 - chances, chances)


def name_doubt(chances: np.ndarray) -> np.ndarray:
    """Chance (...) that the name that was given, or giving none, is wrong, from that of its being
    right; 0 where no root was drawn."""
    return np.where(chances > 0, 1 - chances, 0).astype(np.float32)
