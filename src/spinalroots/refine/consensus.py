"""One annotation out of several: STAPLE for a mask, majority vote for a label map; and how far the
raters agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.boxes import bounding_box
from spinalroots.metrics.overlap import dice, mean_present
from spinalroots.registry.anatomy import Scheme

STAPLE_MARGIN_VOX = 2
"""Background around the raters' masks that STAPLE judges specificity by."""


@dataclass(frozen=True)
class Agreement:
    """How far raters agree.

    `dice`: mean over all pairs of raters, of any label against background; 1.0 if all are empty.
    `dice_by_label`: the same per label value, over the pairs in which at least one rater marked it.
    `sensitivity`, `specificity`: STAPLE's estimate per rater (binary masks only, else empty).
    """

    raters: int
    dice: float
    dice_by_label: dict[int, float]
    sensitivity: tuple[float, ...] = ()
    specificity: tuple[float, ...] = ()


def consensus(maps: list[np.ndarray], scheme: Scheme | str) -> tuple[np.ndarray, Agreement]:
    """The map (X, Y, Z) uint8 that stands for all raters, and their agreement.

    A binary scheme goes through STAPLE, the others through a majority vote.

    :raises InputError: no map, or maps of different shapes.
    """
    if not maps or any(entry.shape != maps[0].shape for entry in maps):
        raise InputError(
            "consensus",
            expected="maps of at least one rater, all of one shape",
            found=", ".join(str(entry.shape) for entry in maps) or "none",
            fix="Export all raters' masks on the scan's grid.",
        )
    dice, dice_by_label = pairwise_dice(maps)
    if len(maps) == 1:
        return maps[0].astype(np.uint8), Agreement(1, dice, dice_by_label)
    if Scheme(scheme) is Scheme.ENTITY:
        agreed, sensitivity, specificity = staple([entry != 0 for entry in maps])
        return agreed, Agreement(len(maps), dice, dice_by_label, sensitivity, specificity)
    return majority(maps), Agreement(len(maps), dice, dice_by_label)


def majority(maps: list[np.ndarray]) -> np.ndarray:
    """The label that most raters gave each voxel (X, Y, Z), uint8; a tie is left unlabelled.

    An unlabelled root voxel is no loss: the flood fill decides it by its neighbourhood.
    """
    import SimpleITK as sitk

    box = bounding_box(np.any([entry != 0 for entry in maps], axis=0))
    agreed = np.zeros(maps[0].shape, np.uint8)
    if box is not None:
        images = [sitk.GetImageFromArray(_cut(entry, box)) for entry in maps]
        agreed[box] = sitk.GetArrayFromImage(sitk.LabelVoting(images, 0))
    return agreed


def staple(
    masks: list[np.ndarray],
) -> tuple[np.ndarray, tuple[float, ...], tuple[float, ...]]:
    """STAPLE (Warfield 2004): mask (uint8), sensitivity and specificity of each rater.

    Only voxels in the box around all masks, `STAPLE_MARGIN_VOX` wider, take part: with a whole scan
    of background every rater is specific by nature, and STAPLE would return the union.
    """
    import SimpleITK as sitk

    agreed = np.zeros(masks[0].shape, np.uint8)
    box = bounding_box(np.any(masks, axis=0), STAPLE_MARGIN_VOX)
    if box is None:
        return agreed, (1.0,) * len(masks), (1.0,) * len(masks)
    estimate = sitk.STAPLEImageFilter()
    estimate.SetForegroundValue(1.0)
    probability = estimate.Execute([sitk.GetImageFromArray(_cut(mask, box)) for mask in masks])
    agreed[box] = sitk.GetArrayFromImage(probability) > 0.5
    return agreed, tuple(estimate.GetSensitivity()), tuple(estimate.GetSpecificity())


def pairwise_dice(maps: list[np.ndarray]) -> tuple[float, dict[int, float]]:
    """Mean Dice over pairs of raters: foreground, and per label value."""
    values = sorted({int(value) for entry in maps for value in np.unique(entry)} - {0})
    pairs = list(combinations(maps, 2))
    by_label = {
        value: mean_present(dice(one == value, two == value) for one, two in pairs)
        for value in values
        if pairs
    }
    overall = mean_present(dice(one, two) for one, two in pairs)
    return (1.0 if np.isnan(overall) else overall), by_label


def _cut(entry: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    return np.ascontiguousarray(entry[box]).astype(np.uint8)
