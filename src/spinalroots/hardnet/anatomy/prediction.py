"""A straightened scan in, tissues and names of all voxels out.

First the tissues, once more on the mirrored scan if asked for; then, knowing where cord and sac
end, the names.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.special import log_softmax, softmax

from spinalroots.hardnet.anatomy.classes import CORD, CSF, ROOT
from spinalroots.hardnet.anatomy.courses import Courses
from spinalroots.hardnet.anatomy.naming import LEVEL_CLASSES
from spinalroots.hardnet.anatomy.network import NamingNetwork, maps
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.positions import encoded, planes
from spinalroots.hardnet.anatomy.sampling import neighbour_offsets
from spinalroots.inference.predictor import Runner

SLICES_AT_ONCE = 32
ASKED = 0.05
"""Chance of root from which a voxel's name is asked for."""


@dataclass(frozen=True)
class Names:
    """Of a straightened scan, given that a voxel is root: chances of `levels` (LEVEL_CLASSES, S, S,
    Z), `ventral` and `right` (S, S, Z); 0 where no name was asked for."""

    levels: np.ndarray
    ventral: np.ndarray
    right: np.ndarray


def find_tissues(
    values: np.ndarray,
    inside: np.ndarray,
    run: Runner,
    *,
    voxel_mm: float,
    neighbours: int,
    mirroring: bool,
) -> np.ndarray:
    """Chances (classes, S, S, Z) of the tissues of a straightened scan.

    :param values: (S, S, Z) in any grey-value scale.
    :param inside: (S, S, Z) or (S, S, 1) bool, what is not padding.
    """
    found = []
    for batch in inputs(values, inside, neighbour_offsets(neighbours), voxel_mm):
        chances = softmax(run(batch), axis=1)
        if mirroring:  # a square's grey-value scale is its mirror image's too
            mirrored = run(np.ascontiguousarray(batch[:, :, ::-1]))
            chances = (chances + softmax(mirrored, axis=1)[:, :, ::-1]) / 2
        found.append(chances)
    return np.ascontiguousarray(np.concatenate(found).transpose(1, 2, 3, 0))


def find_names(
    tissues: np.ndarray,
    network: NamingNetwork,
    coordinates: np.ndarray,
    *,
    neighbours: int,
    window: tuple[float, float],
    courses: Courses | None = None,
) -> Names:
    """Names of all voxels that may be root.

    :param tissues: chances (classes, S, S, Z).
    :param coordinates: (Z, 3), see :mod:`.positions`.
    :param window: in which the voxels of a thread agree on its name: its spread across and along,
        in voxels.
    :param courses: how names are made to hold along a root's course; None: not at all.
    """
    root = tissues[ROOT]
    asked = np.nonzero(root > ASKED)
    logits = np.zeros((LEVEL_CLASSES + 2, len(asked[0])), np.float32)
    device = next(network.parameters()).device
    with torch.inference_mode():
        known = torch.from_numpy(coordinates)
        codes = encoded(known).to(device)
        for rows in _batches(np.unique(asked[2])):
            seen = _maps(tissues, root, rows, neighbour_offsets(neighbours), planes(known))
            features = network.trunk(seen.to(device)).float()
            mine = np.flatnonzero((asked[2] >= rows[0]) & (asked[2] <= rows[-1]))
            x, y, z = (axis[mine] for axis in asked)
            named = network(features[np.searchsorted(rows, z), :, x, y], codes[z])
            logits[:, mine] = named.T.cpu().numpy()
    agreed = _agreed(logits, asked, root, window)
    if courses:
        agreed = courses.followed(agreed, asked, root, coordinates[:, 1])
    levels = np.zeros((LEVEL_CLASSES, *root.shape), np.float32)
    levels[:, asked[0], asked[1], asked[2]] = softmax(agreed[:LEVEL_CLASSES], axis=0)
    ventral, right = np.zeros((2, *root.shape), np.float32)
    ventral[asked], right[asked] = 1 / (1 + np.exp(-agreed[LEVEL_CLASSES:]))
    return Names(levels, ventral, right)


def _batches(slices: np.ndarray) -> Iterator[np.ndarray]:
    """At most `SLICES_AT_ONCE` of the slices at a time."""
    for start in range(0, len(slices), SLICES_AT_ONCE):
        yield slices[start : start + SLICES_AT_ONCE]


def _maps(
    tissues: np.ndarray,
    root: np.ndarray,
    rows: np.ndarray,
    offsets: np.ndarray,
    places: torch.Tensor,
) -> torch.Tensor:
    """What the naming network sees of the slices `rows`; ends repeat."""
    around = np.clip(rows[:, None] + offsets, 0, root.shape[2] - 1)

    def taken(chances: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(chances[..., around].transpose(2, 3, 0, 1)))

    depth = 0.5 * (tissues[CSF:].sum(axis=0) + tissues[CORD])
    return maps(taken(root), taken(depth), places[rows])


def _agreed(
    logits: np.ndarray, asked: tuple, root: np.ndarray, window: tuple[float, float]
) -> np.ndarray:
    """Evidence (names, N) of voxels averaged along their threads, weighted by chance."""
    across, along = window
    if along == 0:
        return logits
    parts = np.concatenate([log_softmax(logits[:LEVEL_CLASSES], axis=0), logits[LEVEL_CLASSES:]])
    weight = np.zeros(root.shape, np.float32)
    weight[asked] = root[asked]

    def spread(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, (across, across, along), truncate=2.5)[asked]

    total, agreed = spread(weight), np.empty_like(parts)
    for number, part in enumerate(parts):
        evidence = np.zeros(weight.shape, np.float32)
        evidence[asked] = part * weight[asked]
        agreed[number] = spread(evidence) / total
    return agreed


def drawn_tissues(chances: np.ndarray, roots: np.ndarray, cord: np.ndarray) -> np.ndarray:
    """As :func:`largest_cord`, with roots just where `roots`, and cord nowhere but where `cord`
    (X, Y, Z) bool; elsewhere what is likeliest besides. A cord that this takes apart stays."""
    chances = chances.copy()
    chances[ROOT] = np.where(roots, 2, -1)
    classes = largest_cord(chances)
    faint = (classes == CORD) & ~cord
    rest = chances[:, faint]
    rest[CORD] = -1
    classes[faint] = rest.argmax(axis=0)
    return classes


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
