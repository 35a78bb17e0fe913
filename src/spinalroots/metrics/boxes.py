"""Bounding boxes: thin structures fill little of a scan, so metrics look only where they are."""

from __future__ import annotations

import numpy as np

Box = tuple[slice, ...]


def bounding_box(mask: np.ndarray, margin_vox: int = 0) -> Box | None:
    """Smallest box (one slice per axis) around a mask's non-zero voxels, widened by a margin.

    :return: None for an empty mask; the margin stops at the array's edge.
    """
    box = []
    for axis, length in enumerate(mask.shape):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if not found.size:
            return None
        first, last = int(found[0]), int(found[-1])
        box.append(slice(max(first - margin_vox, 0), min(last + margin_vox + 1, length)))
    return tuple(box)


def label_boxes(labels: np.ndarray) -> dict[int, Box]:
    """Bounding box of every label value 1..255 that occurs in `labels` (uint8)."""
    from scipy import ndimage

    found = ndimage.find_objects(labels)
    return {value: box for value, box in enumerate(found, start=1) if box is not None}


def union_box(first: Box | None, second: Box | None) -> Box | None:
    """Smallest box around two boxes, either of which may be None."""
    if first is None or second is None:
        return first or second
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )
