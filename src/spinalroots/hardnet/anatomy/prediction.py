"""A straightened scan in, tissues and names of all voxels out.

First the trunk, which sees the anatomy; then, knowing where the cord ends, the names. Both once
more on the mirrored scan, if asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.special import log_softmax, softmax

from spinalroots.hardnet.anatomy.classes import CORD, NAMES, ROOT
from spinalroots.hardnet.anatomy.naming import FEATURES, LEVEL_CLASSES, NamingHead
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.positions import cord_end, encoded, heights_mm
from spinalroots.hardnet.anatomy.sampling import neighbour_offsets
from spinalroots.inference.predictor import Runner

SLICES_AT_ONCE = 16
ASKED = 0.05
"""Chance of root from which a voxel's name is asked for."""
ALONG_MM, ACROSS_MM = 8.0, 0.6
"""Spread of the window in which the root voxels of a thread agree on its name."""
SLOTS = 4
"""Names of a level: dorsal left, dorsal right, ventral left, ventral right."""


@dataclass(frozen=True)
class Found:
    """Of a straightened scan: chances of `tissues` (classes, S, S, Z) and, given that it is root,
    of `levels` (LEVEL_CLASSES, S, S, Z), `ventral` and `right` (S, S, Z); `end`: the slice at which
    the cord ends, None where it is not in view."""

    tissues: np.ndarray
    levels: np.ndarray
    ventral: np.ndarray
    right: np.ndarray
    end: int | None


def find(
    values: np.ndarray,
    inside: np.ndarray,
    run: Runner,
    head: NamingHead,
    *,
    voxel_mm: float,
    slice_mm: float,
    neighbours: int,
    mirroring: bool = False,
    places: np.ndarray | None = None,
) -> Found:
    """Tissues and names of a straightened scan.

    :param values: (S, S, Z) in any grey-value scale.
    :param inside: (S, S, Z) or (S, S, 1) bool, what is not padding.
    :param run: the trunk.
    :param places: (Z,) among the vertebrae, where anchors tell.
    """
    offsets = neighbour_offsets(neighbours)
    ways = [1, -1] if mirroring else [1]
    outputs = [
        _outputs(values[::way], inside[::way], run, offsets, voxel_mm)[:, ::way] for way in ways
    ]
    tissues = np.mean([softmax(one[: len(NAMES)], axis=0) for one in outputs], axis=0)
    end = cord_end(largest_cord(tissues) == CORD, voxel_mm)
    slices = values.shape[2]
    heights = heights_mm(end, slices, slice_mm)
    places = np.full(slices, np.nan, np.float32) if places is None else places.astype(np.float32)
    with torch.inference_mode():
        codes = encoded(torch.from_numpy(heights), torch.from_numpy(places))
    asked = np.nonzero(tissues[ROOT] > ASKED)
    logits = np.zeros((LEVEL_CLASSES + 2, len(asked[0])), np.float32)
    for way, one in zip(ways, outputs, strict=True):
        features = one[(slice(len(NAMES), None), *asked)].T
        with torch.inference_mode():
            named = head(torch.from_numpy(np.ascontiguousarray(features)), codes[asked[2]])
        named = named.numpy().T.copy()
        named[-1] *= way
        logits += named / len(ways)
    agreed = _agreed(logits, asked, tissues[ROOT], (ACROSS_MM / voxel_mm, ALONG_MM / slice_mm))
    levels = np.zeros((LEVEL_CLASSES, *tissues.shape[1:]), np.float32)
    levels[(slice(None), *asked)] = softmax(agreed[:LEVEL_CLASSES], axis=0)
    ventral, right = np.zeros((2, *tissues.shape[1:]), np.float32)
    ventral[asked], right[asked] = 1 / (1 + np.exp(-agreed[LEVEL_CLASSES:]))
    return Found(tissues.astype(np.float32), levels, ventral, right, end)


def _agreed(
    logits: np.ndarray, asked: tuple, root: np.ndarray, spread: tuple[float, float]
) -> np.ndarray:
    """Evidence (names, N) of voxels averaged along their threads, weighted by the chance of root.

    :param spread: of the window, in voxels across and along.
    """
    across, along = spread
    parts = np.concatenate([log_softmax(logits[:LEVEL_CLASSES], axis=0), logits[LEVEL_CLASSES:]])
    widths = (across, across, along)
    weight = np.zeros(root.shape, np.float32)
    weight[asked] = root[asked]
    total = ndimage.gaussian_filter(weight, widths, truncate=2.5)[asked]
    agreed = np.empty_like(parts)
    for number, part in enumerate(parts):
        spreading = np.zeros(root.shape, np.float32)
        spreading[asked] = part * weight[asked]
        agreed[number] = ndimage.gaussian_filter(spreading, widths, truncate=2.5)[asked] / total
    return agreed


def largest_cord(chances: np.ndarray) -> np.ndarray:
    """Classes (X, Y, Z) uint8 of chances (classes, X, Y, Z): the likeliest, but one cord only.

    What is taken for cord apart from its largest piece becomes the next likely class.
    """
    classes = chances.argmax(axis=0).astype(np.uint8)
    pieces, count = ndimage.label(classes == CORD)
    if count > 1:
        sizes = np.bincount(pieces.ravel())[1:]
        apart = (pieces > 0) & (pieces != sizes.argmax() + 1)
        rest = chances[:, apart].copy()
        rest[CORD] = -1
        classes[apart] = rest.argmax(axis=0)
    return classes


def _outputs(
    values: np.ndarray, inside: np.ndarray, run: Runner, offsets: np.ndarray, voxel_mm: float
) -> np.ndarray:
    """What the trunk says (tissues + FEATURES, S, S, Z) of a straightened scan."""
    found = [run(image) for image in inputs(values, inside, offsets, voxel_mm)]
    outputs = np.concatenate(found).transpose(1, 2, 3, 0)
    assert len(outputs) == len(NAMES) + FEATURES
    return outputs


def inputs(
    values: np.ndarray, inside: np.ndarray, offsets: np.ndarray, voxel_mm: float
) -> Iterator[np.ndarray]:
    """Network inputs (B, C, S, S) float32, `SLICES_AT_ONCE` slices at a time; ends repeat."""
    image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, 2, 0), np.float32))
    seen = torch.from_numpy(
        np.ascontiguousarray(np.moveaxis(np.broadcast_to(inside, values.shape), 2, 0))
    )
    steps = torch.from_numpy(offsets)
    for rows in torch.arange(len(image)).split(SLICES_AT_ONCE):
        around = (rows[:, None] + steps).clamp(0, len(image) - 1)
        yield normalised(image[around], seen[rows][:, None], voxel_mm).numpy()
