"""Does a probability of 0.7 mean that 7 of 10 such voxels are root? The reliability curve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from operator import add

import numpy as np

BINS = 10
CERTAIN_BACKGROUND = 0.01
"""Voxels below this probability are left out: nearly the whole scan is, and would hide the rest."""


@dataclass(frozen=True)
class Reliability:
    """Per bin of predicted probability (BINS,): voxels, their summed probability, true roots."""

    voxels: np.ndarray
    probability_sum: np.ndarray
    roots: np.ndarray

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(*map(add, astuple(self), astuple(other)))

    @property
    def mean_probability(self) -> np.ndarray:
        """Mean predicted probability of each bin (BINS,); NaN for an empty one."""
        return _ratio(self.probability_sum, self.voxels)

    @property
    def observed(self) -> np.ndarray:
        """Share of voxels that are root, of each bin (BINS,); NaN for an empty one."""
        return _ratio(self.roots, self.voxels)

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0..1: mean gap between the two, weighted by voxels; NaN
        without any voxel. Source: Guo 2017, arXiv 1706.04599."""
        if not self.voxels.sum():
            return float("nan")
        gap = np.abs(self.probability_sum - self.roots).sum()
        return float(gap / self.voxels.sum())


def reliability(probability: np.ndarray, reference: np.ndarray) -> Reliability:
    """Counts for the reliability curve of one scan.

    :param probability: predicted P(any target root) (...), 0..1. Voxels below 0.01 are left out.
    :param reference: mask (...) of the target's roots.
    """
    chosen = probability >= CERTAIN_BACKGROUND
    values, truth = probability[chosen].astype(float), reference[chosen] != 0
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    return Reliability(
        np.bincount(bins, minlength=BINS),
        np.bincount(bins, weights=values, minlength=BINS),
        np.bincount(bins, weights=truth, minlength=BINS).astype(int),
    )


def summed(scans: Iterable[tuple[str, Reliability | None]]) -> dict[str, Reliability]:
    """Model → its counts over all scans, from a (model, counts) pair a scan; None adds nothing."""
    curves: dict[str, Reliability] = {}
    for model, counts in scans:
        if counts is not None:
            curves[model] = curves[model] + counts if model in curves else counts
    return curves


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(BINS, np.nan), where=whole > 0)
