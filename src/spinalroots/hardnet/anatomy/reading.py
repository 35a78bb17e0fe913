"""Phantoms as the anatomy networks learn from them."""

import numpy as np

from spinalroots.hardnet.anatomy.classes import OF_LABEL, ROOT_LABEL
from spinalroots.hardnet.anatomy.positions import coordinates, ends
from spinalroots.hardnet.anatomy.sampling import UNIT, Stack
from spinalroots.hardnet.data.straighten import InputSpec, plan, straighten
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.settings.anatomy import Anatomy

MIDDLE_MM = 9.0
"""From the centreline: where the sac is looked for."""
BELOW_MM = 24.0
"""Kept below the sac's end, so that a network learns that. Further on the line is a guess."""


def stack(
    scan: Volume,
    anatomy: np.ndarray,
    individuals: np.ndarray,
    centreline: Centreline,
    discs: list[tuple[float, float]],
    settings: Anatomy,
) -> Stack:
    """A case as :func:`.sampling.gather` takes it, from a little below the sac's end to the top of
    the anatomy; the image is scaled so that CSF is about `UNIT`.

    :param discs: height in RAS mm and vertebral position of each disc, rising.
    """
    slice_mm = settings.slice_mm
    spec = InputSpec(settings.cut_vox * settings.voxel_mm, settings.voxel_mm, slice_mm)
    placement = plan(scan.grid, centreline, spec)
    image = straighten(scan.data.astype(np.float32, copy=False), placement)
    tissues, roots = (
        straighten(labels, placement, labels=True) for labels in (anatomy, individuals)
    )
    inside = np.broadcast_to(placement.squares.inside(), image.shape)
    grid = placement.squares.grid
    z = grid.affine[2, 3] + grid.affine[2, 2] * np.arange(image.shape[2])
    heights_mm, positions = np.array(discs).T
    places = np.interp(z, heights_mm, positions)
    found = ends(OF_LABEL[tissues], settings.voxel_mm)
    half, reach = settings.cut_vox // 2, round(MIDDLE_MM / settings.voxel_mm)
    middle = slice(half - reach, half + reach)
    seen = np.flatnonzero((tissues[middle, middle] > 0).any(axis=(0, 1)))
    part = slice(max(0, seen[0] - round(BELOW_MM / slice_mm)), seen[-1] + 1)
    bright = np.percentile(image[middle, middle, part], 98)
    roots = np.where(tissues == ROOT_LABEL, roots, 0)
    return Stack(
        (image[..., part] * (UNIT / bright)).round().clip(0, 255).astype(np.uint8),
        tissues[..., part],
        roots[..., part].astype(np.uint8),
        inside[..., part],
        coordinates(found, image.shape[2], slice_mm, places).T[:, part],
    )
