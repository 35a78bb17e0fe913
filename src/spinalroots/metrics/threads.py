"""Does a thread keep the name that a prediction gives it?"""

import numpy as np


def name_changes(reference: np.ndarray, prediction: np.ndarray, affine: np.ndarray) -> float:
    """Changes of name along the true roots, per 10 cm of them.

    A root's predicted name in an axial slice is the commonest one among its voxels, of equals that
    of the lower value; slices in which none of its voxels has a name are passed over. Its length
    runs from centre to centre of the slices that count.

    :param reference: true individual map (X, Y, Z) on a RAS+ grid with `affine` (4, 4).
    :param prediction: predicted individual map of the same shape.
    :return: over all roots together; NaN where no root has a name in two slices.
    """
    voxels = np.argwhere((reference > 0) & (prediction > 0))
    true, named = (maps[tuple(voxels.T)].astype(int) for maps in (reference, prediction))
    changes, length_mm = 0, 0.0
    for root in np.unique(true):
        own, names = voxels[true == root], named[true == root]
        slices, place = np.unique(own[:, 2], return_inverse=True)
        counts = np.zeros((len(slices), names.max() + 1), int)
        np.add.at(counts, (place, names), 1)
        sums = np.zeros((len(slices), 3))
        np.add.at(sums, place, own)
        centres_mm = sums / counts.sum(axis=1, keepdims=True) @ affine[:3, :3].T
        changes += int(np.count_nonzero(np.diff(counts.argmax(axis=1))))
        length_mm += np.linalg.norm(np.diff(centres_mm, axis=0), axis=1).sum()
    return 100 * changes / length_mm if length_mm else float("nan")
