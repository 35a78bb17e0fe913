"""Are the roots told apart, whatever they are called, and are left and right told apart?"""

from dataclasses import dataclass

import numpy as np

from spinalroots.metrics.overlap import overlap_table
from spinalroots.registry.anatomy import ROOTS, Side


@dataclass(frozen=True)
class Detection:
    """Counts of instances: found, invented, missed."""

    found: int
    invented: int
    missed: int

    @property
    def precision(self) -> float:
        """Found ÷ predicted instances, 0..1; NaN if there are none on either side, else 0."""
        return self._ratio(self.found, self.found + self.invented)

    @property
    def recall(self) -> float:
        """Found ÷ reference instances, 0..1; NaN if there are none on either side, else 0."""
        return self._ratio(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """2·found ÷ (predicted + reference instances), 0..1; NaN if there are none."""
        return self._ratio(2 * self.found, 2 * self.found + self.invented + self.missed)

    def _ratio(self, part: int, whole: int) -> float:
        if whole:
            return part / whole
        return 0.0 if self.invented or self.missed else float("nan")


def detect_roots(reference: np.ndarray, prediction: np.ndarray, iou_threshold: float) -> Detection:
    """Match predicted roots to reference roots one to one, whatever their names.

    An instance is all voxels of one label: a root of several strands is one instance. Pairs whose
    intersection over union reaches `iou_threshold` may match; the matching with the largest summed
    IoU is taken. Names do not count, as an annotator changes them easily (the paper, III).

    :param reference: individual map (...), uint8.
    :param prediction: individual map of the same shape.
    :param iou_threshold: low (0.1) for roots: 0.5 is harsh on structures two voxels wide.

    Source: panoptic quality's recognition (Kirillov 2019, arXiv 1801.00868), matched as in
    panoptica (Kofler 2023, arXiv 2312.02608).
    """
    from scipy.optimize import linear_sum_assignment

    table = overlap_table(reference, prediction)
    size_reference, size_prediction = table.sum(axis=1), table.sum(axis=0)
    rows = 1 + np.flatnonzero(size_reference[1:])
    columns = 1 + np.flatnonzero(size_prediction[1:])
    common = table[np.ix_(rows, columns)].astype(float)
    union = size_reference[rows][:, None] + size_prediction[columns][None, :] - common
    iou = np.where(common / union >= iou_threshold, common / union, 0.0)
    matched = linear_sum_assignment(-iou)
    found = int(np.count_nonzero(iou[matched]))
    return Detection(found, len(columns) - found, len(rows) - found)


def side_accuracy(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the voxels that are root in both individual maps whose side is right, 0..1.

    The level and the type do not matter, only left or right.

    :return: NaN if no voxel is root in both.
    """
    table = overlap_table(reference, prediction)
    left, right = ([root.value for root in ROOTS if root.side is side] for side in Side)
    total = table[np.ix_(left + right, left + right)].sum()
    same = table[np.ix_(left, left)].sum() + table[np.ix_(right, right)].sum()
    return float(same / total) if total else float("nan")
