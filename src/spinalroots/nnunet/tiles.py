"""nnU-Net's sliding window, which follows a tube: half the tiles of one over the tube's box."""

from itertools import product

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)

from spinalroots.imaging.boxes import bounding_box
from spinalroots.imaging.volume import Box
from spinalroots.inference.predictor import Runner

CERTAIN = 30.0
"""Logit of the background where the network was not asked."""


def tiles(tube: np.ndarray, patch: tuple[int, ...], step: float) -> list[Box]:
    """Tiles of the size `patch` that cover the tube (*spatial) bool, each touching it.

    They stand in slabs across the longest axis, in each around what of the tube lies there: a
    window over the box of a whole bent tube takes twice as many.

    :param step: from tile to tile, as a share of one; no further.
    """
    axis = int(np.argmax(tube.shape))
    found: list[Box] = []
    for start in compute_steps_for_sliding_window(tube.shape, patch, step)[axis]:
        slab = [slice(None)] * tube.ndim
        slab[axis] = slice(start, start + patch[axis])
        if (near := bounding_box(tube[tuple(slab)])) is None:
            continue
        size = [max(side.stop - side.start, least) for side, least in zip(near, patch, strict=True)]
        middle = [(side.start + side.stop - one) // 2 for side, one in zip(near, size, strict=True)]
        low = np.clip(middle, 0, np.subtract(tube.shape, size))
        low[axis] = start
        starts = compute_steps_for_sliding_window(tuple(size), patch, step)
        boxes = [
            tuple(
                slice(int(one), int(one) + side) for one, side in zip(low + c, patch, strict=True)
            )
            for c in product(*starts)
        ]
        found += [box for box in boxes if tube[box].any()]
    return found


def slide(
    image: np.ndarray, boxes: list[Box], classes: int, runner: Runner, at_once: int
) -> np.ndarray:
    """Mean logits (classes, *spatial) float32, the middle of a tile counting most.

    Where there is no tile, the background is certain.

    :param image: (C, *spatial).
    :param at_once: tiles that the runner is given together.
    """
    total = np.zeros((classes, *image.shape[1:]), np.float32)
    norm = np.zeros(image.shape[1:], np.float32)
    for start in range(0, len(boxes), at_once):
        some = boxes[start : start + at_once]
        batch = np.stack([image[(slice(None), *box)] for box in some])
        weight = _weight(batch.shape[2:])
        for box, logits in zip(some, runner(batch), strict=True):
            total[(slice(None), *box)] += logits * weight
            norm[box] += weight
    total /= np.where(norm > 0, norm, 1)
    total[0][norm == 0] = CERTAIN
    return total


def _weight(patch: tuple[int, ...]) -> np.ndarray:
    """nnU-Net's Gaussian (*patch), which it keeps for the next call."""
    return compute_gaussian(
        patch, value_scaling_factor=10, dtype=torch.float32, device=torch.device("cpu")
    ).numpy()
