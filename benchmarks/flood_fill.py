"""Flood fill of a 384×384×300 volume against skimage's watershed on the whole grid."""

from __future__ import annotations

import time

import numpy as np
from scipy import ndimage

from spinalroots.refine.flood_fill import flood_fill

SHAPE = (384, 384, 300)
ROOTS = 22
RADIUS_VOX = 3.0
FACES = ndimage.generate_binary_structure(3, 1)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """22 winding roots of some 160 000 voxels in all, a third of each labelled: labels, entity."""
    labels, entity = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool)
    height = np.arange(SHAPE[2])
    for root in range(ROOTS):
        across = SHAPE[0] / 2 + (root % 11 - 5) * 7 + 8 * np.sin(height / 40 + root)
        depth = SHAPE[1] / 2 + (root // 11) * 9 - 5 + 6 * np.cos(height / 50 + 0.7 * root)
        for z, x, y in zip(height, across, depth, strict=True):
            near = np.mgrid[int(x) - 4 : int(x) + 5, int(y) - 4 : int(y) + 5]
            inside = (near[0] - x) ** 2 + (near[1] - y) ** 2 <= RADIUS_VOX**2
            place = (*near[:, inside], z)
            if (z // 25) % 3 == root % 3:
                labels[place] = np.where(entity[place], labels[place], root + 1)
            entity[place] = True
    return labels, entity


def run() -> list[dict]:
    """Seconds of both, and whether they agree where one label is strictly nearest.

    Watershed knows no millimetres, it floods by steps from voxel to voxel. So both get what it
    knows, the six neighbours of cubic voxels; the project's own setting (26 neighbours, lengths in
    mm) is timed too.
    """
    from skimage.segmentation import watershed

    labels, entity = scene()
    ours, filled = _best_of(3, lambda: flood_fill(labels, entity, (1, 1, 1), 6))
    real, _ = _best_of(3, lambda: flood_fill(labels, entity, (0.6, 0.6, 0.9), 26))
    terrain = np.where(entity, np.uint8(0), np.uint8(1))
    whole, _ = _best_of(1, lambda: watershed(terrain, labels.astype(np.int32)))
    masked, within = _best_of(
        3, lambda: watershed(terrain, labels.astype(np.int32), connectivity=1, mask=entity)
    )
    different = int(np.count_nonzero(within[entity] != filled.labels[entity]))
    untied = _untied_differences(labels, entity, filled.labels, within)
    size = "×".join(map(str, SHAPE))
    return [
        {
            "name": "flood_fill",
            "ours": round(ours, 4),
            "other": round(whole, 4),
            "ratio": round(whole / ours, 1),
            "unit": "s",
            "compared": f"flood fill of {size} voxels, {ROOTS} labels, {int(entity.sum())} mask "
            f"voxels, against skimage watershed on the whole grid (ours with 26 neighbours in mm: "
            f"{real:.2f} s, {whole / real:.1f}×); {different} voxels differ, all but {untied} of "
            "them equally far from both labels",
            "untied_differences": untied,
        },
        {
            "name": "flood_fill: mask",
            "ours": round(ours, 4),
            "other": round(masked, 4),
            "ratio": round(masked / ours, 1),
            "unit": "s",
            "compared": "the same against skimage watershed with its mask argument",
        },
    ]


def _untied_differences(labels, entity, ours, theirs) -> int:
    """Voxels with different labels of which one is strictly nearer (steps inside the mask)."""
    differing = entity & (ours != theirs)
    values = np.unique(np.concatenate([ours[differing], theirs[differing]]))
    box = ndimage.find_objects(entity.astype(np.uint8))[0]
    seeds, inside = np.where(entity, labels, 0)[box], entity[box]
    mine, other, places = ours[box], theirs[box], differing[box]
    own_steps = np.zeros(places.shape, np.int32)
    other_steps = np.zeros(places.shape, np.int32)
    for value in values:
        steps = _steps_from(seeds == value, inside)
        own_steps[places & (mine == value)] = steps[places & (mine == value)]
        other_steps[places & (other == value)] = steps[places & (other == value)]
    return int(np.count_nonzero(own_steps != other_steps))


def _steps_from(seeds, inside) -> np.ndarray:
    """Steps from the seeds inside the mask, by dilating one step at a time."""
    steps = np.full(inside.shape, -1, np.int32)
    front, number = seeds, 0
    while front.any():
        steps[front] = number
        number += 1
        front = ndimage.binary_dilation(front, FACES) & inside & (steps < 0)
    return steps


def _best_of(times: int, call) -> tuple[float, object]:
    """Shortest wall-clock time in seconds, and the result."""
    seconds, result = [], None
    for _ in range(times):
        begin = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds), result
