"""clDice: is the tube connected where the reference is?"""

import numpy as np

from spinalroots.imaging.boxes import bounding_box
from spinalroots.imaging.components import components


def cl_dice(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Centreline Dice of two masks (X, Y, Z), from 0 to 1, no unit.

    The harmonic mean of topology precision, the share of the prediction's skeleton inside the
    reference, and topology sensitivity, the share of the reference's skeleton inside the
    prediction. A gap in a thin root costs as much as a gap in a thick one.

    :return: NaN if both masks are empty, 0 if one is.

    Source: Shit 2021, arXiv 2003.07311.
    """
    reference, prediction = np.asarray(reference) != 0, np.asarray(prediction) != 0
    box = bounding_box(reference | prediction, margin_vox=1)
    if box is None:
        return float("nan")
    reference, prediction = reference[box], prediction[box]
    if not reference.any() or not prediction.any():
        return 0.0
    precision = _share_inside(skeleton(prediction), reference)
    sensitivity = _share_inside(skeleton(reference), prediction)
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Centre voxels of a mask (X, Y, Z), same shape; every connected component keeps some.

    scikit-image's thinning (Lee 1994) can delete a component whole when it is two voxels wide, as
    roots often are. Such a component stands for itself: none of its voxels is far from its middle.
    """
    from skimage.morphology import skeletonize

    thinned = skeletonize(mask) > 0
    parts, label_of_part = components(mask)
    kept = np.zeros(len(label_of_part) + 1, bool)
    kept[parts[thinned]] = True
    return thinned | (mask & ~kept[parts])


def _share_inside(middle: np.ndarray, mask: np.ndarray) -> float:
    return np.count_nonzero(middle & mask) / np.count_nonzero(middle)
