"""Does a probability of 0.7 mean that the answer is right in 7 of 10 such voxels? Reliability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from operator import add

import numpy as np

BINS = 10
CERTAIN_BACKGROUND = 0.01
"""Voxels below this probability are left out: nearly the whole scan is, and would hide the rest."""
ROOT, NAME = "root", "name"
"""The two questions: is it root, and has a root its right name?"""


@dataclass(frozen=True)
class Reliability:
    """Per bin of predicted probability (BINS,): voxels, their summed probability, right ones."""

    voxels: np.ndarray
    probability_sum: np.ndarray
    right: np.ndarray

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(*map(add, astuple(self), astuple(other)))

    @property
    def mean_probability(self) -> np.ndarray:
        """Mean predicted probability of each bin (BINS,); NaN for an empty one."""
        return _ratio(self.probability_sum, self.voxels)

    @property
    def observed(self) -> np.ndarray:
        """Share of voxels that are right, of each bin (BINS,); NaN for an empty one."""
        return _ratio(self.right, self.voxels)

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0..1: mean gap between the two, weighted by voxels; NaN
        without any voxel. Source: Guo 2017, arXiv 1706.04599."""
        if not self.voxels.sum():
            return float("nan")
        gap = np.abs(self.probability_sum - self.right).sum()
        return float(gap / self.voxels.sum())


def reliability(probability: np.ndarray, right: np.ndarray) -> Reliability:
    """Counts for the reliability curve of one scan.

    :param probability: predicted (...), 0..1. Voxels below 0.01 are left out.
    :param right: mask (...): where what the probability is of holds.
    """
    chosen = probability >= CERTAIN_BACKGROUND
    values, truth = probability[chosen].astype(float), right[chosen] != 0
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    return Reliability(
        np.bincount(bins, minlength=BINS),
        np.bincount(bins, weights=values, minlength=BINS),
        np.bincount(bins, weights=truth, minlength=BINS).astype(int),
    )


Curves = dict[tuple[str, str], Reliability]
"""(model, question) → its counts."""


def summed(scans: Iterable[tuple[str, dict[str, Reliability]]]) -> Curves:
    """Counts over all scans, from a pair (model, question → counts) a scan."""
    curves: Curves = {}
    for model, counts in scans:
        for question, found in counts.items():
            key = model, question
            curves[key] = curves[key] + found if key in curves else found
    return curves


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(BINS, np.nan), where=whole > 0)
