"""nnU-Net's sliding window, along a tube: tiles that do not touch it are left out."""

from itertools import product

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)

from spinalroots.imaging.volume import Box
from spinalroots.inference.predictor import Runner

CERTAIN = 30.0
"""Logit of the background where the network was not asked."""


def tiles(tube: np.ndarray, patch: tuple[int, ...], step: float) -> list[Box]:
    """The tiles of the size `patch` that touch the tube (*spatial) bool.

    :param step: from tile to tile, as a share of one.
    """
    starts = compute_steps_for_sliding_window(tube.shape, patch, step)
    boxes = [
        tuple(slice(start, start + size) for start, size in zip(corner, patch, strict=True))
        for corner in product(*starts)
    ]
    return [box for box in boxes if tube[box].any()]


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
