"""The patient's curved mid-sagittal surface, and how far each voxel lies to its right.

In every axial slice the surface is a line: it passes `offset_mm` to the right of the centreline
and leans by `turn` radians. Scoliosis bends it from slice to slice through the centreline, axial
rotation through the turn. Both are read off the roots themselves: left and right roots of one level
lie about symmetrically, so that the line halves the way between them at right angles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinalroots.imaging.centreline import Centreline, smooth
from spinalroots.imaging.volume import Grid

STIFFNESS_MM = 12.0
"""Waves of offset and turn shorter than about six times this are smoothed away."""
OFFSET_DOUBT_MM2 = 1.0
"""Variance of one pair's middle about the true surface: roots of a pair wander by a millimetre."""
OFFSET_PRIOR_MM2 = 4.0
"""Variance of the centreline's own distance from the surface."""
TURN_PRIOR_RAD2 = 0.03
"""Variance of the axial turn before any pair is seen: 10 degrees."""


@dataclass(frozen=True)
class MidSurface:
    """The surface as the module says; `middle_mm` (Z, 2): centreline along the slices' axes."""

    middle_mm: np.ndarray
    offset_mm: np.ndarray
    turn: np.ndarray
    spacing_mm: np.ndarray

    @classmethod
    def straight(cls, grid: Grid, centreline: Centreline) -> MidSurface:
        """The surface straight from back to front through the centreline."""
        middle_mm = centreline.in_slices(grid) * grid.spacing_mm[:2]
        flat = np.zeros(len(middle_mm))
        return cls(middle_mm, flat, flat, grid.spacing_mm)

    def rightwards_mm(self, voxels: np.ndarray) -> np.ndarray:
        """Signed distance (N,) in mm of voxels (N, 3) from the surface, positive to the right."""
        z = voxels[:, 2]
        aside, forward = (voxels[:, :2] * self.spacing_mm[:2] - self.middle_mm[z]).T
        turn = self.turn[z]
        return aside * np.cos(turn) + forward * np.sin(turn) - self.offset_mm[z]

    def fitted(self, pairs: Pairs) -> MidSurface:
        """The surface that halves the pairs best; where there are none it stays near straight."""
        count = len(self.turn)
        stiffness = STIFFNESS_MM / self.spacing_mm[2]
        share = self.spacing_mm[2] / STIFFNESS_MM
        precision = pairs.apart_mm**2 / (2 * OFFSET_DOUBT_MM2)
        turn = smooth(
            *_pooled(pairs.z, pairs.turn, share * precision, share / TURN_PRIOR_RAD2, count),
            stiffness,
        )[:, 0]
        aside, forward = (pairs.middle_mm - self.middle_mm[pairs.z]).T
        lean = turn[pairs.z]
        halves = aside * np.cos(lean) + forward * np.sin(lean)
        precision = np.full(len(halves), share / OFFSET_DOUBT_MM2)
        offset = smooth(
            *_pooled(pairs.z, halves, precision, share / OFFSET_PRIOR_MM2, count), stiffness
        )[:, 0]
        return MidSurface(self.middle_mm, offset, turn, self.spacing_mm)


@dataclass(frozen=True)
class Pairs:
    """Slices in which a level has voxels on both sides, one row each.

    `z` (P,): slice; `middle_mm` (P, 2): halfway between both sides' centres; `turn` (P,): radians
    by which the way from left to right points forward; `apart_mm` (P,): its length.
    """

    z: np.ndarray
    middle_mm: np.ndarray
    turn: np.ndarray
    apart_mm: np.ndarray


def find_pairs(
    voxels: np.ndarray, level: np.ndarray, right: np.ndarray, spacing_mm: np.ndarray
) -> Pairs:
    """Pairs among root voxels (N, 3) with their levels (N,) and present sides (N,) bool."""
    key = level.astype(np.int64) * (int(voxels[:, 2].max(initial=0)) + 1) + voxels[:, 2]
    keys, inverse = np.unique(key, return_inverse=True)
    place_mm = voxels[:, :2] * spacing_mm[:2]
    counts, centres = [], []
    for side in (~right, right):
        count = np.bincount(inverse, side, len(keys))
        total = [np.bincount(inverse, side * place_mm[:, axis], len(keys)) for axis in (0, 1)]
        counts.append(count)
        centres.append(np.stack(total, axis=-1) / np.maximum(count, 1)[:, None])
    both = (counts[0] > 0) & (counts[1] > 0)
    left_mm, right_mm = centres[0][both], centres[1][both]
    away = right_mm - left_mm
    z = keys[both] % (int(voxels[:, 2].max(initial=0)) + 1)
    return Pairs(
        z,
        (left_mm + right_mm) / 2,
        np.arctan2(away[:, 1], np.maximum(away[:, 0], 1e-3)),
        np.hypot(*away.T),
    )


def _pooled(
    z: np.ndarray, values: np.ndarray, precision: np.ndarray, prior: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (Z, 1) of the values of each slice with a prior of nought, and its precision (Z,)."""
    total = np.bincount(z, precision, count) + prior
    return (np.bincount(z, precision * values, count) / total)[:, None], total
