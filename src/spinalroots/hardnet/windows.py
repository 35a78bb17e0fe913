"""Whole-volume inference: windows along the axis that overlap, and their weighted mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    """(first slice, network input (C, *spatial)) for all of a stack.

    An even number of channels has the height as its last one.
    """
    flat, heights = len(input_shape) == 3, stack.heights
    height = input_shape[0] % 2 == 0
    if flat:
        tiles = windows_2d(stack.image, input_shape[1], (input_shape[0] - 1) // 2)
    else:
        tiles = windows_3d(stack.image, input_shape[1:], overlap)
    for start, tile in tiles:
        depth = 1 if flat else input_shape[3]
        yield start, with_height(tile, heights, start, depth) if height else tile


def windows_3d(
    image: np.ndarray, shape: tuple[int, ...], overlap: float
) -> Iterator[tuple[int, np.ndarray]]:
    """(first slice, (1, P, P, D) float32) for a stack (S, S, Z), S ≤ P; zeros are added around."""
    padded = _padded(image, shape)
    for start in starts(image.shape[2], shape[2], overlap):
        yield start, np.ascontiguousarray(padded[None, :, :, start : start + shape[2]])


def windows_2d(image: np.ndarray, edge: int, neighbours: int) -> Iterator[tuple[int, np.ndarray]]:
    """(slice, (2 neighbours + 1, P, P) float32) for every slice; the end slices repeat."""
    padded = _padded(image, (edge, edge, image.shape[2]))
    for index in range(image.shape[2]):
        wanted = neighbour_slices(index, neighbours, image.shape[2])
        yield index, np.ascontiguousarray(padded[:, :, wanted].transpose(2, 0, 1))


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
        options: dict[str, Any] = {"overlap": overlap, "batch": batch}
        one = probabilities(stack, run, classes, input_shape, **options)
        mirrored = Stack(stack.image[::-1], stack.heights)
        other = probabilities(mirrored, run, classes, input_shape, **options)
        return (one + other[:, ::-1]) / 2
    flat = len(input_shape) == 3
    edge, depth = input_shape[1], 1 if flat else input_shape[3]
    size = stack.image.shape
    tiles = windows(stack, input_shape, overlap)
    slices = max(size[2], depth)
    total = np.zeros((classes, edge, edge, slices), np.float32)
    weight = np.zeros(slices, np.float32)
    fade = taper(depth)
    for group in _grouped(tiles, batch):
        logits = run(np.stack([tile for _, tile in group]))
        for (start, _), values in zip(group, logits, strict=True):
            chances = softmax(values, axis=0)
            chances = chances[..., None] if flat else chances
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


def _grouped(items: Iterator, size: int) -> Iterator[list]:
    group: list = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
