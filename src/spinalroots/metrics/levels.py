"""Where a level lies along the cord, and how far off a prediction puts it."""

from collections.abc import Callable

import numpy as np

from spinalroots.imaging.centreline import Centreline

ENTRY_QUANTILE = 0.95
"""A root's upper end is this quantile of its voxels' positions: robust against stray voxels."""


def positions_mm(mask: np.ndarray, affine: np.ndarray, centreline: Centreline) -> np.ndarray:
    """Position (N,) of every voxel of a mask (X, Y, Z) along the centreline, in mm, rising upwards.

    A voxel's position is the curve's arc length at the voxel's height (RAS+ superior mm). Beyond
    the curve's ends it goes straight on.
    """
    voxels = np.argwhere(mask)
    superior_mm = voxels @ affine[2, :3] + affine[2, 3]
    heights, arc = centreline.points_mm[:, 2], centreline.arc_length_mm
    beyond = superior_mm - np.clip(superior_mm, heights[0], heights[-1])
    return np.interp(superior_mm, heights, arc) + beyond


def level_error_mm(
    reference: np.ndarray, prediction: np.ndarray, affine: np.ndarray, centreline: Centreline
) -> float:
    """Position error of a level in mm: how far apart the two masks' mean positions lie.

    :param reference: mask (X, Y, Z) of one level on a RAS+ grid with `affine` (4, 4).
    :param prediction: mask of the same shape.
    :return: absolute distance along the centreline; NaN if both are empty, infinity if one is.

    Source: the level position error of Valošek 2024 (10.1162/imag_a_00218), with the mean in place
    of the crossing with the cord, as lumbar roots run far below their entry.
    """
    return _difference_mm(reference, prediction, affine, centreline, np.mean)


def entry_error_mm(
    reference: np.ndarray, prediction: np.ndarray, affine: np.ndarray, centreline: Centreline
) -> float:
    """As :func:`level_error_mm`, for the upper end, where the root enters the cord.

    That is where epidural stimulation reaches it. The upper end is the 95th percentile of the
    positions.
    """
    return _difference_mm(
        reference, prediction, affine, centreline, lambda p: np.quantile(p, ENTRY_QUANTILE)
    )


def level_accuracy(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the voxels with a level in both maps (X, Y, Z) that have the same one: how well
    roots are told apart, whatever share of them is found. NaN if there is none."""
    both = (reference > 0) & (prediction > 0)
    return float((reference == prediction)[both].mean()) if both.any() else float("nan")


def type_accuracy(individuals: np.ndarray, named: np.ndarray, found: np.ndarray) -> float:
    """Share of the found root voxels whose name says rightly whether they are dorsal.

    :param individuals: true individual map (X, Y, Z) of every root; only the levels that occur in
        dorsal and ventral roots to be told apart should be in it.
    :param named: where the prediction names a (dorsal) root.
    :param found: where it sees any root.
    :return: over voxels found on a true root; NaN if there is none.
    """
    asked = (individuals > 0) & ((named > 0) | (found > 0))
    ventral = (individuals.astype(int) - 1) % 4 >= 2
    return float(((named > 0) != ventral)[asked].mean()) if asked.any() else float("nan")


def _difference_mm(
    reference: np.ndarray,
    prediction: np.ndarray,
    affine: np.ndarray,
    centreline: Centreline,
    place: Callable[[np.ndarray], float],
) -> float:
    found = [positions_mm(mask, affine, centreline) for mask in (reference, prediction)]
    if not any(len(positions) for positions in found):
        return float("nan")
    if not all(len(positions) for positions in found):
        return float("inf")
    return float(abs(place(found[0]) - place(found[1])))
