"""Smooth curves through noisy points."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded


def smooth(values: np.ndarray, weights: np.ndarray, stiffness: float) -> np.ndarray:
    """The smooth sequence (N, D) nearest to `values` (N, D) in the sense of weighted least squares.

    Minimises ``Σ w (y - v)² + stiffness⁴ Σ (second difference of y)²`` (Whittaker 1923, Hodrick and
    Prescott 1997): waves shorter than about ``2 π stiffness`` samples are taken out, straight lines
    are kept as they are, samples of weight 0 are filled in, beyond the ends in a straight line.

    :param weights: (N,) not negative; at least two must be positive.
    """
    values = np.asarray(values, float)
    count = len(values)
    if count < 3:
        return values.copy()
    penalty = float(stiffness) ** 4
    banded = np.zeros((3, count))
    banded[2] = weights
    banded[2, :-2] += penalty
    banded[2, 1:-1] += 4 * penalty
    banded[2, 2:] += penalty
    banded[1, 1:-1] -= 2 * penalty
    banded[1, 2:] -= 2 * penalty
    banded[0, 2:] += penalty
    banded[2] += 1e-12 * (penalty + 1)
    return solveh_banded(banded, np.asarray(weights, float)[:, None] * values)
