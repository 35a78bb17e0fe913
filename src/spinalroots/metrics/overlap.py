"""Dice: of a mask, and of every label of a map."""

from collections.abc import Iterable

import numpy as np


def dice(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Dice coefficient of two masks, 2·|R ∩ P| ÷ (|R| + |P|), from 0 to 1, no unit.

    :param reference: mask (...), anything non-zero is foreground.
    :param prediction: mask of the same shape.
    :return: NaN if both are empty, 0 if one is.

    With all target roots as foreground this is the paper's binary Dice. Source: Dice 1945; the
    guideline of Müller 2022 (arXiv 2202.05273).

    >>> dice(np.array([1, 1, 0, 1]), np.array([0, 1, 0, 1]))
    0.8
    """
    reference, prediction = np.asarray(reference) != 0, np.asarray(prediction) != 0
    size = np.count_nonzero(reference) + np.count_nonzero(prediction)
    return float(2 * np.count_nonzero(reference & prediction) / size) if size else float("nan")


def dice_per_label(
    reference: np.ndarray, prediction: np.ndarray, values: Iterable[int]
) -> dict[int, float]:
    """Dice of every label value, from 0 to 1.

    :param reference: label map (...), uint8.
    :param prediction: label map of the same shape.
    :param values: the labels asked for.
    :return: value → Dice; a missed or invented label has 0, one absent from both NaN, so that a
        mean that skips NaN follows the rule "missed or invented = 0, absent from both = left out".
    """
    table = overlap_table(reference, prediction)
    sizes_reference, sizes_prediction = table.sum(axis=1), table.sum(axis=0)
    scores = {}
    for value in values:
        size = int(sizes_reference[value] + sizes_prediction[value])
        scores[value] = 2 * int(table[value, value]) / size if size else float("nan")
    return scores


def overlap_table(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Voxel counts (256, 256): entry (r, p) is how often reference label r meets predicted label p.

    Both label maps hold values 0..255. Everything that only counts voxels follows from this table.
    """
    pairs = np.asarray(reference, np.uint16).ravel() * np.uint16(256)
    pairs += np.asarray(prediction, np.uint8).ravel()
    return np.bincount(pairs, minlength=256 * 256).reshape(256, 256)


def mean_present(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    present = np.array([value for value in values if not np.isnan(value)])
    return float(present.mean()) if present.size else float("nan")
