"""A scan in, chances of each tissue on its own grid out."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

from spinalroots.hardnet.anatomy.classes import CORD
from spinalroots.hardnet.anatomy.learning import Recipe
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.sampling import neighbour_offsets
from spinalroots.hardnet.data.straighten import InputSpec, bend_back, plan, straighten
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.predictor import Runner

SLICES_AT_ONCE = 16


def anatomy(scan: Volume, centreline: Centreline, run: Runner, recipe: Recipe) -> np.ndarray:
    """Chances (classes, X, Y, Z) on the scan's RAS+ grid; background beyond the squares."""
    voxel_mm = recipe.predict_voxel_mm
    spec = InputSpec(recipe.size * voxel_mm, voxel_mm, recipe.slice_mm)
    placement = plan(scan.grid, centreline, spec)
    values = straighten(scan.data.astype(np.float32, copy=False), placement)
    tissues = stack_chances(values, placement.squares.inside(), run, recipe)[1:]
    tissues = bend_back(tissues, placement)
    chances = np.zeros((len(tissues) + 1, *scan.data.shape), np.float32)
    chances[(slice(1, None), *placement.box)] = tissues
    chances[0] = 1 - chances[1:].sum(axis=0)
    return chances


def decoded(chances: np.ndarray) -> np.ndarray:
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


def stack_chances(
    values: np.ndarray, inside: np.ndarray, run: Runner, recipe: Recipe
) -> np.ndarray:
    """Chances (classes, S, S, Z) of a straightened scan (S, S, Z) in any grey-value scale,
    its voxels `recipe.predict_voxel_mm` wide."""
    found = []
    for image in inputs(values, inside, recipe):
        chances = _softmax(run(image))
        if recipe.mirroring:
            mirrored = _softmax(run(np.ascontiguousarray(image[:, :, ::-1])))
            chances = (chances + mirrored[:, :, ::-1]) / 2
        found.append(chances)
    return np.concatenate(found).transpose(1, 2, 3, 0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def inputs(values: np.ndarray, inside: np.ndarray, recipe: Recipe) -> Iterator[np.ndarray]:
    """Network inputs (B, C, S, S) float32, `SLICES_AT_ONCE` slices at a time; ends repeat."""
    image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, 2, 0), np.float32))
    seen = torch.from_numpy(
        np.ascontiguousarray(np.moveaxis(np.broadcast_to(inside, values.shape), 2, 0))
    )
    offsets = torch.from_numpy(neighbour_offsets(recipe.neighbours))
    for rows in torch.arange(len(image)).split(SLICES_AT_ONCE):
        around = (rows[:, None] + offsets).clamp(0, len(image) - 1)
        yield normalised(image[around], seen[rows][:, None], recipe.predict_voxel_mm).numpy()
