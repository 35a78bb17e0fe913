"""What to draw, given how likely each voxel is: the mask whose Dice is expected to be highest.

A mask that can reach a Dice of D is best drawn down to a chance of about D ÷ 2: where little is
sure, a cut at ½ leaves out most of a thin root (Lipton 2014, arXiv 1402.1892). The cut is that of
RankDice (Dai and Li 2023, JMLR 24(224)), with expectations in place of the numbers of voxels that
are random there. For names it is found in each scan anew, and takes chances for frequencies
(:mod:`.doubt`); that of roots is a setting.
"""

import numpy as np

UNLIKELY = 0.02
"""Chance below which a voxel is neither drawn nor counted: nearly the whole scan lies there."""


def dice_cut(chances: np.ndarray) -> float:
    """Least of the chances (any shape) with which a voxel is to be drawn; 1 where none is likely.

    Drawing the n likeliest voxels has an expected Dice of about 2 Σ p of these ÷ (n + Σ p of all).

    >>> dice_cut(np.array([0.9, 0.8, 0.5, 0.1]))
    0.5
    >>> dice_cut(np.zeros(4))
    1.0
    """
    likely = np.sort(chances[chances >= UNLIKELY].astype(float), axis=None)[::-1]
    if not len(likely):
        return 1.0
    found = likely.cumsum()
    return float(likely[(found / (np.arange(1, len(likely) + 1) + found[-1])).argmax()])


def likeliest_names(roots: np.ndarray) -> np.ndarray:
    """Number from 1 of each voxel's likeliest name (N,) uint8; 0 where none is likelier than one.

    :param roots: chances (names + 1, N) of each name and of none, of any scale.
    """
    named = roots[:-1].sum(axis=0) > roots[-1]
    return np.where(named, roots[:-1].argmax(axis=0) + 1, 0).astype(np.uint8)


def drawn_names(roots: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """As :func:`likeliest_names`, and where a name is no likelier than none but its mask gains.

    :param chances: (names, N) that a voxel is root and has this name, as frequencies.
    """
    best = roots[:-1].argmax(axis=0)
    cuts = np.array([dice_cut(of_one_name) for of_one_name in chances])
    gains = chances[best, np.arange(len(best))] >= cuts[best]
    return np.where(gains, best + 1, likeliest_names(roots)).astype(np.uint8)
