"""Taking specks out of a label map."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_TOUCHING = np.ones((3, 3, 3))


def drop_islands(labels: np.ndarray, spacing_mm: np.ndarray, island_mm3: float) -> np.ndarray:
    """Label map (X, Y, Z) without those connected parts of a label smaller than `island_mm3`.

    Voxels that touch at a corner are connected: a thin root runs aslant. Every label is looked at
    by itself; none is given to another.
    """
    kept = labels.copy()
    least = island_mm3 / float(np.prod(spacing_mm))
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, _ = ndimage.label(labels[box] == value, _TOUCHING)
        small = np.bincount(parts.ravel()) < least
        small[0] = False
        kept[box][small[parts]] = 0
    return kept
