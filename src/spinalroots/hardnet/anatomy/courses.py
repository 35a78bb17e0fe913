"""Names that hold along a thread: each root runs along one smooth course.

A mixture model, fitted by expectation and maximisation. Each of the named roots (level, type, side)
has one centre a slice, smooth along the spine. A voxel is likelier to be of a root whose centre is
near, and whose level is there on both sides at that height; what the network said decides among
those. So a root is in one place a slice, and two neighbours do not exchange their names on the way.
Where it is known how high each level runs, levels are first made to lie one above the other.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import log_expit, log_softmax, softmax

from spinalroots.hardnet.anatomy.extents import Extents
from spinalroots.hardnet.anatomy.naming import ABOVE, BELOW, LEVEL_CLASSES

FIRST_MM, ROUNDS = 2.4, 6
"""Spread of a root's voxels around its centre in the first round, which then shrinks; rounds."""
ALONG_MM = 2.4
"""Spread of the window along the spine in which a centre is one."""
FULL_MM2, LEAST = 5.0, 0.01
"""Area of a root, weighted by chance, from which its level is there for sure; odds without any."""
APART = 0.3
"""Density of the roots above and below the named levels, which have no centre; 1 in a centre."""
DOUBT = 0.001
"""Least chance of each name: the network is never quite sure."""


class Courses(NamedTuple):
    """`width_mm`: spread of a root's voxels around its centre in the end; edges of the voxels;
    `extents` of the levels, if known, with ends soft over `edge_mm`."""

    width_mm: float
    voxel_mm: float
    slice_mm: float
    extents: Extents | None = None
    edge_mm: float = 4.0

    def followed(
        self,
        evidence: np.ndarray,
        asked: tuple[np.ndarray, ...],
        root: np.ndarray,
        heights_mm: np.ndarray,
    ) -> np.ndarray:
        """Evidence of voxels, made to hold along courses.

        :param evidence: logits (LEVEL_CLASSES + 2, N) of levels, ventral, right.
        :param asked: x, y, z (N,) of the voxels.
        :param root: (S, S, Z), chance of it.
        :param heights_mm: (Z,) above the end of the cord; nan where none is known.
        """
        if not len(asked[0]):
            return evidence
        order = np.argsort(asked[2], kind="stable")
        index = tuple(axis[order] for axis in asked)
        said = _joint(evidence[:, order])
        if self.extents and not np.isnan(heights_mm).any():
            levels, z = softmax(evidence[:LEVEL_CLASSES, order], axis=0), index[2]
            there = self.extents.fitted(levels, root[index], z, heights_mm, self.edge_mm)
            said += np.log(there).astype(np.float32)[:, None, None, z]
        shares = self._shares(said, index, root)
        agreed = np.empty_like(evidence)
        agreed[:, order] = _apart(shares)
        return agreed

    def _shares(
        self, said: np.ndarray, index: tuple[np.ndarray, ...], root: np.ndarray
    ) -> np.ndarray:
        """Chances (LEVEL_CLASSES, 2, 2, N) of voxels in the order of their slices."""
        z, weight = index[2], root[index].astype(np.float32)
        x, y = ((axis * self.voxel_mm).astype(np.float32) for axis in index[:2])
        moments = np.stack([weight, weight * x, weight * y])
        rows, starts = np.unique(z, return_index=True)
        shares = _normalised(said)
        for spread_mm in np.geomspace(FIRST_MM, self.width_mm, ROUNDS, dtype=np.float32):
            sums = np.zeros((3, LEVEL_CLASSES, 2, 2, root.shape[2]), np.float32)
            for held, moment in zip(sums, moments, strict=True):
                held[..., rows] = np.add.reduceat(shares * moment, starts, axis=-1)
            sums = gaussian_filter1d(sums, ALONG_MM / self.slice_mm, axis=-1, mode="constant")
            mass = sums[0]
            u, v = sums[1:] / np.maximum(mass, 1e-6)
            full = mass.mean(axis=2, keepdims=True) * (self.voxel_mm**2 / FULL_MM2)
            there = 0.5 * np.log(np.minimum(full, 1) + LEAST)
            away_mm2 = (x - u[..., z]) ** 2 + (y - v[..., z]) ** 2
            likely = said - away_mm2 / (2 * spread_mm**2) + there[..., z]
            likely[[ABOVE, BELOW]] = said[[ABOVE, BELOW]] + np.float32(np.log(APART))
            shares = _normalised(likely)
        return shares


def _joint(evidence: np.ndarray) -> np.ndarray:
    """Log chances (LEVEL_CLASSES, 2, 2, N) of level, type and side together."""
    levels = log_softmax(evidence[:LEVEL_CLASSES], axis=0)
    types, sides = (np.stack([log_expit(-one), log_expit(one)]) for one in evidence[LEVEL_CLASSES:])
    levels, types, sides = (np.maximum(one, np.log(DOUBT)) for one in (levels, types, sides))
    joint = levels[:, None, None] + types[None, :, None] + sides[None, None]
    return joint.astype(np.float32)


def _normalised(logarithms: np.ndarray) -> np.ndarray:
    """Chances (LEVEL_CLASSES, 2, 2, N) that add up to 1 a voxel."""
    return softmax(logarithms, axis=(0, 1, 2))


def _apart(shares: np.ndarray) -> np.ndarray:
    """Logits (LEVEL_CLASSES + 2, N) of chances (LEVEL_CLASSES, 2, 2, N)."""
    levels = np.log(shares.sum(axis=(1, 2)) + 1e-9)
    pairs = shares.sum(axis=(0, 2)), shares.sum(axis=(0, 1))
    return np.concatenate(
        [levels, [np.log(one[1] + 1e-6) - np.log(one[0] + 1e-6) for one in pairs]]
    )
