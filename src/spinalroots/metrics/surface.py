"""Distances between the surfaces of two masks: normalized surface Dice and HD95.

The surface of a mask is the set of its voxels that share a face with the outside (the array's edge
counts as outside); a distance is measured between voxel centres, in mm. Every surface voxel counts
once, whatever its faces' area.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from spinalroots.imaging.boxes import bounding_box


@dataclass(frozen=True)
class SurfaceDistances:
    """From each surface voxel to the other mask's nearest surface voxel, in mm.

    `to_prediction_mm` (N,): from the reference's surface; `to_reference_mm` (M,): from the
    prediction's. If the other surface is empty the distances are infinite.
    """

    to_prediction_mm: np.ndarray
    to_reference_mm: np.ndarray

    @classmethod
    def between(cls, reference: np.ndarray, prediction: np.ndarray, spacing_mm: np.ndarray) -> Self:
        """Distances between two masks (X, Y, Z) with voxel edges `spacing_mm` (3,)."""
        reference, prediction = np.asarray(reference) != 0, np.asarray(prediction) != 0
        box = bounding_box(reference | prediction)
        if box is None:
            return cls(np.empty(0), np.empty(0))
        of_reference, of_prediction = surface(reference[box]), surface(prediction[box])
        return cls(
            _distances_mm(of_reference, of_prediction, spacing_mm),
            _distances_mm(of_prediction, of_reference, spacing_mm),
        )

    def dice(self, tolerance_mm: float) -> float:
        """Normalized surface Dice (NSD), from 0 to 1: the share of both surfaces that lies within
        `tolerance_mm` of the other; about one voxel for roots.

        :return: NaN if both masks are empty, 0 if one is.

        Source: Nikolov 2018 (arXiv 1809.04430), counted in voxels as in MONAI.
        """
        every = np.concatenate([self.to_prediction_mm, self.to_reference_mm])
        return float(np.mean(every <= tolerance_mm)) if every.size else float("nan")

    def hd95_mm(self) -> float:
        """95 % Hausdorff distance in mm: the larger of the two directed 95th percentiles.

        :return: NaN if both masks are empty, infinity if one is.

        Source: Huttenlocher 1993; the percentile as in BraTS (Menze 2015).
        """
        if not self.to_prediction_mm.size and not self.to_reference_mm.size:
            return float("nan")
        if not self.to_prediction_mm.size or not self.to_reference_mm.size:
            return float("inf")
        return float(
            max(np.percentile(self.to_prediction_mm, 95), np.percentile(self.to_reference_mm, 95))
        )


def surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask that share a face with its outside, same shape."""
    return mask & ~ndimage.binary_erosion(mask)


def _distances_mm(start: np.ndarray, end: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    start_mm = np.argwhere(start) * np.asarray(spacing_mm)
    if not end.any() or not len(start_mm):
        return np.full(len(start_mm), np.inf)
    return cKDTree(np.argwhere(end) * np.asarray(spacing_mm)).query(start_mm)[0]
