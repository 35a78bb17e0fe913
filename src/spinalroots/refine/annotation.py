"""What refinement starts from: one map per scheme, a consensus where several raters drew.

Out of several annotations one is made by STAPLE for a mask, by majority vote for a label map.
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from spinalroots.dataset.annotations import maps, read_map
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.boxes import bounding_box
from spinalroots.imaging.volume import Volume, require_same_grid
from spinalroots.metrics.overlap import dice, mean_present
from spinalroots.refine.sac import shows_roots
from spinalroots.registry.anatomy import Scheme, individuals_to_levels

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


@dataclass(frozen=True)
class Annotation:
    """A case's masks on its RAS+ grid, uint8 arrays (X, Y, Z); None where there is none.

    `volume` is any of the maps and carries the grid; `agreement`: scheme → how far raters agree.
    """

    volume: Volume
    entity: np.ndarray | None
    levels: np.ndarray | None
    individuals: np.ndarray | None
    tissues: np.ndarray | None
    agreement: dict[str, Agreement] = field(default_factory=dict)

    @property
    def has_roots(self) -> bool:
        """Whether any root is labelled by level at least: without, there is nothing to learn."""
        return any(
            labels is not None and labels.any() for labels in (self.levels, self.individuals)
        )

    @property
    def shows_unnamed(self) -> bool:
        """Whether any mask can tell a root that nobody named from background."""
        return self.entity is not None or shows_roots(self.tissues)

    def roots(self) -> np.ndarray:
        """The entity mask (bool); without one, wherever a root is labelled."""
        if self.entity is not None:
            return self.entity != 0
        present = [labels for labels in (self.individuals, self.levels) if labels is not None]
        return np.any([labels != 0 for labels in present], axis=0)

    def level_labels(self) -> np.ndarray:
        """Level of every labelled voxel (uint8): from the level map, else the individual map."""
        if self.individuals is None:
            empty = np.zeros(self.volume.data.shape, np.uint8)
            return empty if self.levels is None else self.levels
        levels = individuals_to_levels(self.individuals)
        return levels if self.levels is None else np.where(self.levels != 0, self.levels, levels)


def read_annotation(dataset: Dataset, case: str) -> Annotation | None:
    """Read all maps of a case; None if it has none.

    :raises InputError: a map with unknown values, or maps that lie on different grids.
    """
    found = {}
    agreement = {}
    volume = None
    drawn = maps(dataset, case)
    for scheme in Scheme:
        by_raters = [entry for entry in drawn if entry.scheme is scheme]
        agreed = [entry for entry in by_raters if not entry.rater]
        arrays = []
        for entry in agreed or by_raters:
            read = read_map(dataset, case, entry)
            volume = volume or read
            require_same_grid(entry.path, read, "the case's other masks", volume)
            arrays.append(read.data)
        if len(arrays) > 1:
            found[scheme], agreement[str(scheme)] = consensus(arrays, scheme)
        elif arrays:
            found[scheme] = arrays[0]
    if volume is None:
        return None
    by_scheme = {str(scheme): found.get(scheme) for scheme in Scheme}
    return Annotation(volume, agreement=agreement, **by_scheme)
