"""Which voxels touch, and the connected parts of masks and label maps.

Voxels that touch at a face, an edge or a corner are connected: a thin root runs aslant.
"""

import cc3d
import numpy as np

TOUCHING = 26
"""Neighbours of a voxel that touch it."""

STEPS = np.argwhere(np.ones((3, 3, 3)))[14:] - 1
"""Steps (13, 3) to half of them: from every voxel on, they reach each touching pair once."""


def components(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected parts of every label of a map (X, Y, Z); labels that touch stay apart.

    :param labels: whole numbers or bool, 0 is background.
    :return: part numbers 1…n (X, Y, Z) int32, 0 in the background, and the label (n,) int64 of each
        part. Parts are numbered by label, and within one in the order of their first voxels.
    """
    labels = np.ascontiguousarray(labels)
    found, count = cc3d.connected_components(  # type: ignore[call-overload]
        labels, connectivity=TOUCHING, return_N=True
    )
    label_of_part = np.zeros(count + 1, np.int64)
    inside = found > 0
    label_of_part[found[inside]] = labels[inside]
    order = np.argsort(label_of_part, kind="stable")
    number = np.empty(count + 1, np.int32)
    number[order] = np.arange(count + 1)
    return number[found], label_of_part[order][1:]


def without_specks(labels: np.ndarray, least_vox: float) -> np.ndarray:
    """Label map (X, Y, Z) without the connected parts of a label that have fewer voxels than this.

    Every label is looked at by itself; none is given to another.

    :param least_vox: need not be whole; a millionth of a voxel is taken for rounding.
    """
    least = int(np.ceil(least_vox - 1e-6))
    return cc3d.dust(  # type: ignore[call-overload]
        np.ascontiguousarray(labels), threshold=least, connectivity=TOUCHING
    )


def touching_pairs(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the voxels (N, 3), all different, touch: each pair once.

    :return: indices (P,) of the first and (P,) of the second voxel, and the steps (P, 3) of -1, 0
        or 1 from one to the other.
    """
    low = voxels.min(axis=0)
    index = np.full(voxels.max(axis=0) - low + 3, -1, np.int64)
    index[tuple((voxels - low + 1).T)] = np.arange(len(voxels))
    first, second, steps = [], [], []
    for step in STEPS:
        there = index[tuple((voxels - low + 1 + step).T)]
        near = np.flatnonzero(there >= 0)
        first.append(near)
        second.append(there[near])
        steps.append(np.broadcast_to(step, (len(near), 3)))
    return np.concatenate(first), np.concatenate(second), np.concatenate(steps)
