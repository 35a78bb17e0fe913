"""Phantoms as the anatomy network learns from them."""

import numpy as np

from spinalroots.hardnet.anatomy.classes import ROOT_LABEL
from spinalroots.hardnet.anatomy.learning import Recipe
from spinalroots.hardnet.data.straighten import InputSpec, plan, straighten
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume

MIDDLE = slice(20, 40)
"""Part of a wide square, along each axis, in which the sac is looked for."""


def stack(
    scan: Volume,
    anatomy: np.ndarray,
    individuals: np.ndarray,
    centreline: Centreline,
    recipe: Recipe,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Image, anatomy, roots and inside (S, S, Z) of a case, as :func:`.sampling.gather` takes them.

    Slices beyond the ends of the sac are left out: there the centreline is a guess. The image is
    scaled so that CSF is about 1.
    """
    spec = InputSpec(recipe.cut_size * recipe.voxel_mm, recipe.voxel_mm, recipe.slice_mm)
    placement = plan(scan.grid, centreline, spec)
    image = straighten(scan.data.astype(np.float32, copy=False), placement)
    tissues, roots = (
        straighten(labels, placement, labels=True) for labels in (anatomy, individuals)
    )
    inside = np.broadcast_to(placement.squares.inside(), image.shape)
    seen = np.flatnonzero((tissues[MIDDLE, MIDDLE] > 0).any(axis=(0, 1)))
    part = slice(seen[0], seen[-1] + 1)
    bright = np.percentile(image[MIDDLE, MIDDLE, part], 98)
    roots = np.where(tissues == ROOT_LABEL, roots, 0)
    return tuple(
        values[..., part]
        for values in ((image / bright).astype(np.float16), tissues, roots, inside)
    )
