"""Phantoms as the anatomy network learns from them."""

import numpy as np

from spinalroots.hardnet.anatomy.classes import CORD, OF_LABEL, ROOT_LABEL
from spinalroots.hardnet.anatomy.learning import Recipe
from spinalroots.hardnet.anatomy.positions import cord_end, heights_mm
from spinalroots.hardnet.anatomy.sampling import Stack
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
    discs: list[tuple[float, float]],
    recipe: Recipe,
) -> Stack:
    """A case as :func:`.sampling.gather` takes it.

    Slices beyond the ends of the sac are left out: there the centreline is a guess. The image is
    scaled so that CSF is about 1.

    :param discs: place among the vertebrae and height in RAS mm of each disc, rising.
    """
    spec = InputSpec(recipe.cut_size * recipe.voxel_mm, recipe.voxel_mm, recipe.slice_mm)
    placement = plan(scan.grid, centreline, spec)
    image = straighten(scan.data.astype(np.float32, copy=False), placement)
    tissues, roots = (
        straighten(labels, placement, labels=True) for labels in (anatomy, individuals)
    )
    inside = np.broadcast_to(placement.squares.inside(), image.shape)
    end = cord_end(OF_LABEL[tissues] == CORD, recipe.voxel_mm)
    heights = heights_mm(end, image.shape[2], recipe.slice_mm)
    grid = placement.squares.grid
    z = grid.affine[2, 3] + grid.affine[2, 2] * np.arange(image.shape[2])
    places = np.interp(z, [one[1] for one in discs], [one[0] for one in discs])
    seen = np.flatnonzero((tissues[MIDDLE, MIDDLE] > 0).any(axis=(0, 1)))
    part = slice(seen[0], seen[-1] + 1)
    bright = np.percentile(image[MIDDLE, MIDDLE, part], 98)
    roots = np.where(tissues == ROOT_LABEL, roots, 0)
    return Stack(
        (image / bright).astype(np.float16)[..., part],
        tissues[..., part],
        roots[..., part].astype(np.uint8),
        inside[..., part],
        heights[part],
        places[part].astype(np.float32),
    )
