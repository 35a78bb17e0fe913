"""Where the dural sac is in a tissue map, and what lies on and in it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial import cKDTree

from spinalroots.imaging.boxes import bounding_box
from spinalroots.registry.anatomy import TISSUES

CORD, CSF, FAT = (TISSUES.index(name) + 1 for name in ("WM", "CSF", "fat"))
_DENT_MM = 2.5
"""Roots at the dura dent the CSF by their own width, 3 mm at most; so much is closed."""
_LONG_MM = 8.0
"""Half the length of cord that gives its direction."""
_FEWEST = 12
"""Voxels of cord from which a direction is known."""


def dural_sac(tissues: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Mask (X, Y, Z) of all inside the dura: cord, CSF, and what they enclose, slice by slice.

    Dents of the CSF, which roots at the dura leave, are closed. The largest connected part counts.

    :param tissues: (X, Y, Z) tissue map in RAS+; roots may be in it, and are not looked at.
    :param affine: (4, 4) voxel → RAS+ mm.
    """
    seen = np.isin(tissues, (CORD, CSF))
    sac = np.zeros(tissues.shape, bool)
    box = bounding_box(seen)
    if box is None:
        return sac
    reach = np.ceil(_DENT_MM / voxel_sizes(affine)[:2]).astype(int)
    across = np.indices(2 * reach + 1).T - reach
    disc = (((across * voxel_sizes(affine)[:2]) ** 2).sum(axis=-1) <= _DENT_MM**2).T
    margin = [(int(one), int(one)) for one in reach]
    inside = np.pad(seen[box], [*margin, (0, 0)])
    for z in range(inside.shape[2]):
        closed = ndimage.binary_closing(inside[..., z], disc)
        inside[..., z] = ndimage.binary_fill_holes(closed)
    part, count = ndimage.label(inside)
    if count > 1:
        inside = part == np.bincount(part.ravel())[1:].argmax() + 1
    sac[box] = inside[reach[0] : -reach[0], reach[1] : -reach[1]]
    return sac


@dataclass(frozen=True)
class Canal:
    """Cord and dural sac (X, Y, Z) of one person on the grid of `affine` (4, 4)."""

    cord: np.ndarray
    sac: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, tissues: np.ndarray, affine: np.ndarray) -> "Canal":
        """From a tissue map (X, Y, Z) in RAS+."""
        return cls(tissues == CORD, dural_sac(tissues, affine), affine)

    def to_cord_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Distance (N,) of points (N, 3) from the nearest voxel of cord; inf without a cord."""
        if not self.cord.any():
            return np.full(len(points_mm), np.inf)
        return self._cord_edge.query(points_mm)[0]

    def to_sac_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Distance (N,) of points (N, 3) from the sac, 0 inside; inf without one."""
        if not self.sac.any():
            return np.full(len(points_mm), np.inf)
        voxels = np.rint(apply_affine(np.linalg.inv(self.affine), points_mm)).astype(int)
        within = ((voxels >= 0) & (voxels < self.sac.shape)).all(axis=1)
        within[within] = self.sac[tuple(voxels[within].T)]
        half_mm = voxel_sizes(self.affine).min() / 2
        away_mm = np.maximum(self._sac_edge.query(points_mm)[0] - half_mm, 0)
        return np.where(within, 0.0, away_mm)

    def dorsal_dura_mm(self) -> np.ndarray:
        """Points (N, 3) on the back of the sac, one for every column of voxels that it has."""
        there = self.sac.any(axis=1)
        x, z = np.nonzero(there)
        y = self.sac.argmax(axis=1)[there] - 0.5
        return apply_affine(self.affine, np.stack([x, y, z], axis=1))

    def cord_direction(self, point_mm: np.ndarray) -> np.ndarray | None:
        """Unit vector (3,) down along the cord near a point (3,); None where there is none."""
        places = self._cord_mm
        near = places[np.abs(places[:, 2] - point_mm[2]) < _LONG_MM]
        heights = np.unique(np.round(near[:, 2], 3)) if len(near) >= _FEWEST else ()
        if len(heights) < 2:
            return None
        slope = np.polyfit(near[:, 2], near[:, :2], 1)[0]
        way = -np.array([*slope, 1.0])
        return way / np.linalg.norm(way)

    @cached_property
    def _cord_mm(self) -> np.ndarray:
        return apply_affine(self.affine, np.argwhere(self.cord))

    @cached_property
    def _cord_edge(self) -> cKDTree:
        return _edge(self.cord, self.affine)

    @cached_property
    def _sac_edge(self) -> cKDTree:
        return _edge(self.sac, self.affine)


def _edge(mask: np.ndarray, affine: np.ndarray) -> cKDTree:
    """Voxels of a mask (X, Y, Z) beside one that is not in it, mm."""
    inner = ndimage.binary_erosion(mask, border_value=1)
    return cKDTree(apply_affine(affine, np.argwhere(mask & ~inner)))
