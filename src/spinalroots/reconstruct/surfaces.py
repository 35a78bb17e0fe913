"""Closed surfaces of roots in scanner coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from spinalroots.imaging.boxes import bounding_box

if TYPE_CHECKING:
    import trimesh

FINE_MM = 0.6
"""Coarser voxels are halved first, so that voxels that touch at a corner only stay joined."""
_MARGIN = 4


def root_surface(mask: np.ndarray, affine: np.ndarray, smoothing_mm: float) -> trimesh.Trimesh:
    """Closed surface of a mask (X, Y, Z), vertices in the mm of `affine` (4, 4), normals outwards.

    The mask is blurred by `smoothing_mm`, seen against its strongest neighbour and cut at the level
    that keeps its volume. At half of the blurred mask, as is usual, a root thinner than the blur
    would vanish, and break where it gets thin.
    """
    import trimesh
    from skimage.measure import marching_cubes

    box = bounding_box(mask) or (slice(0, 0),) * 3
    solid = np.pad(mask[box], _MARGIN).astype(np.float32)
    spacing_mm = voxel_sizes(affine)
    times = np.where(spacing_mm > FINE_MM, 2, 1)
    for axis, count in enumerate(times):
        solid = solid.repeat(count, axis=axis)
    field = _field(solid, spacing_mm / times, smoothing_mm) if smoothing_mm else solid
    vertices, faces, _, _ = marching_cubes(field, _level(field, int(solid.sum())))
    start = np.array([part.start for part in box]) - _MARGIN
    voxels = (vertices + 0.5) / times - 0.5 + start
    surface = trimesh.Trimesh(apply_affine(affine, voxels), faces)
    if surface.volume < 0:
        surface.invert()
    return surface


def _field(solid: np.ndarray, spacing_mm: np.ndarray, smoothing_mm: float) -> np.ndarray:
    """The blurred mask over the largest value within a blur's reach: about 1 along the middle."""
    soft = ndimage.gaussian_filter(solid, smoothing_mm / spacing_mm)
    reach = 2 * np.maximum(1, np.rint(smoothing_mm / spacing_mm).astype(int)) + 1
    return soft / np.maximum(ndimage.maximum_filter(soft, size=tuple(reach)), 0.05)


def _level(field: np.ndarray, count: int) -> float:
    """Halfway between the `count`-th largest value and the next one."""
    place = field.size - count
    ordered = np.partition(field.ravel(), (place - 1, place))
    return float(ordered[place - 1] + ordered[place]) / 2
