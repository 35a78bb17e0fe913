"""Whole-volume inference: windows along the axis that overlap, and their weighted mean."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from scipy.special import softmax

from spinalroots.hardnet.data.channels import neighbour_slices, with_height
from spinalroots.hardnet.data.straighten import Stack
from spinalroots.inference.predictor import Runner


def starts(length: int, window: int, overlap: float) -> list[int]:
    """First slices of windows that cover `length` slices; neighbours share at least `overlap`.

    >>> starts(10, 4, 0.5)
    [0, 2, 4, 6]
    >>> starts(3, 4, 0.5)
    [0]
    """
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // step) + 1
    return [round(index * (length - window) / (count - 1)) for index in range(count)]


def taper(window: int) -> np.ndarray:
    """Weights (window,) of a window's slices: highest in the middle, never 0."""
    distance = np.abs(np.arange(window) - (window - 1) / 2) / (window / 2)
    return (1.0 - 0.95 * distance).astype(np.float32)


def windows(
    stack: Stack, input_shape: tuple[int, ...], overlap: float
) -> Iterator[tuple[int, np.ndarray]]:
    """(first slice, network input (C, *spatial) float32) for all of a stack (S, S, Z), S ≤ P.

    A 2D network gets every slice with its neighbours as channels, the end slices repeated. Zeros
    are added around a square. An even number of channels has the height as its last one.
    """
    channels, edge, *_ = input_shape
    depth, slices = _depth(input_shape), stack.image.shape[2]
    padded = _padded(stack.image, (edge, edge, depth))
    for start in starts(slices, depth, overlap):
        if len(input_shape) == 3:
            wanted = neighbour_slices(start, (channels - 1) // 2, slices)
            tile = padded[:, :, wanted].transpose(2, 0, 1)
        else:
            tile = padded[None, :, :, start : start + depth]
        if channels % 2 == 0:
            tile = with_height(tile, stack.heights, start, depth)
        yield start, np.ascontiguousarray(tile)


def _depth(input_shape: tuple[int, ...]) -> int:
    """Slices that a network says something about at once."""
    return 1 if len(input_shape) == 3 else input_shape[3]


def probabilities(
    stack: Stack,
    run: Runner,
    classes: int,
    input_shape: tuple[int, ...],
    *,
    overlap: float = 0.5,
    mirroring: bool = False,
    batch: int = 1,
) -> np.ndarray:
    """Class probabilities (classes, S, S, Z) float32 of a stack.

    :param input_shape: (C, *spatial) that the network takes.
    :param mirroring: average with the left/right mirrored stack (levels have no side).
    """
    if mirroring:
        one, other = (
            probabilities(side, run, classes, input_shape, overlap=overlap, batch=batch)
            for side in (stack, Stack(stack.image[::-1], stack.heights))
        )
        return (one + other[:, ::-1]) / 2
    edge, depth = input_shape[1], _depth(input_shape)
    size = stack.image.shape
    tiles = windows(stack, input_shape, overlap)
    slices = max(size[2], depth)
    total = np.zeros((classes, edge, edge, slices), np.float32)
    weight = np.zeros(slices, np.float32)
    fade = taper(depth)
    while group := list(islice(tiles, batch)):
        logits = run(np.stack([tile for _, tile in group]))
        for (start, _), values in zip(group, logits, strict=True):
            chances = softmax(values, axis=0).reshape(classes, edge, edge, depth)
            total[..., start : start + depth] += chances * fade
            weight[start : start + depth] += fade
    low = (edge - size[0]) // 2
    inner = slice(low, low + size[0])
    return total[:, inner, inner, : size[2]] / weight[: size[2]]


def _padded(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The stack in the middle of P × P, zeros added around and, if it is short, above."""
    before = [(shape[0] - image.shape[0]) // 2, (shape[1] - image.shape[1]) // 2, 0]
    missing = [max(0, shape[axis] - image.shape[axis]) for axis in range(3)]
    return np.pad(
        image.astype(np.float32, copy=False),
        [(low, extra - low) for low, extra in zip(before, missing, strict=True)],
    )
