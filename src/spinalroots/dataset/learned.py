"""What a network learns of a case: the classes of its target, and roots that nobody named."""

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid
from spinalroots.registry.anatomy import Scheme, Target


def learned_classes(dataset: Dataset, case: str, target: Target, unnamed: int) -> Volume:
    """Classes 0..n (X, Y, Z) uint8 of a prepared case, and the value `unnamed` on unnamed roots.

    Such a voxel lies in the case's mask of all roots, but its label map names none there. It may be
    any root or, where a tissue map left it out of the CSF, another thread: nobody may call it
    background, nor one of the target's roots.
    """
    path = dataset.labels(case, target.scheme)
    labels = read_labels(path)
    classes = target.encode(labels.data)
    if target.scheme is not Scheme.ENTITY and dataset.has(case, Scheme.ENTITY):
        roots = read_labels(dataset.labels(case, Scheme.ENTITY))
        require_same_grid(dataset.labels(case, Scheme.ENTITY), roots, path, labels)
        classes[unnamed_roots(roots.data, labels.data)] = unnamed
    return labels.with_data(classes)


def unnamed_roots(roots: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mask (bool, same shape): in the mask of all roots, and without a name in the label map."""
    return (roots > 0) & (labels == 0)
