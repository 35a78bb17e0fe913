"""Which voxels of a root belong to the branch that leads from end to end."""

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from spinalroots.imaging.centreline import smooth
from spinalroots.reconstruct.threads import Thread

_STEP_MM = 0.25
"""Distance of the points of the line that is laid through the branch."""
_STIFF_MM, _STIFF_RADIUS_MM = 0.5, 1.0
"""The line follows bends wider than six times the first, its radius those of the second."""
_WAY_MM = 2.0
"""Length of branch that tells which way it goes on to its end."""


def main_branch(thread: Thread, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Whether each voxel (V,) of a thread belongs to the branch from end to end.

    Rootlets that touch side by side are one lump, whose middle belongs to none of them. The line
    through the deepest voxels on the way from end to end follows one; what is further from it than
    it is deep there, and half a voxel, belongs to another. All are kept of a root so short that the
    way between its ends' middles is no longer than it is wide.

    :param mask: (X, Y, Z) that the thread was made of, with its (4, 4) voxel → RAS+ mm.
    """
    depth_mm = _depth_mm(thread.places_mm, mask, affine)
    way = thread.way_through((depth_mm.max() / depth_mm) ** 2)
    places_mm, deep_mm = thread.places_mm[way], depth_mm[way]
    along = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(places_mm, axis=0), axis=1)))
    most_mm = deep_mm.max()
    # About its ends the way turns to a corner: it goes on straight there.
    first_mm = deep_mm[along <= 2 * most_mm].max()
    last_mm = along[-1] - deep_mm[along >= along[-1] - 2 * most_mm].max()
    if last_mm - first_mm < max(2 * most_mm, _WAY_MM):  # not longer than it is wide
        return np.ones(len(depth_mm), bool)
    at = np.linspace(first_mm, last_mm, int((last_mm - first_mm) / _STEP_MM) + 1)
    columns = np.column_stack([places_mm, deep_mm])
    line = np.stack([np.interp(at, along, column) for column in columns.T], axis=1)
    even = np.ones(len(line))
    middle_mm = smooth(line[:, :3], even, _STIFF_MM / _STEP_MM)
    radius_mm = smooth(line[:, 3:], even, _STIFF_RADIUS_MM / _STEP_MM)[:, 0]
    beyond = int((3 * most_mm + _WAY_MM) / _STEP_MM)
    whole_mm = np.concatenate(
        [_onwards(middle_mm, beyond)[::-1], middle_mm, _onwards(middle_mm[::-1], beyond)]
    )
    away_mm, nearest = cKDTree(whole_mm).query(thread.places_mm)
    reach_mm = np.pad(radius_mm, beyond, mode="edge") + voxel_sizes(affine).max() / 2
    return away_mm <= reach_mm[nearest]


def _depth_mm(places_mm: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Distance (V,) of a mask's voxels with these centres (V, 3) from the nearest outside."""
    voxels = np.rint(apply_affine(np.linalg.inv(affine), places_mm)).astype(int)
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    inside = np.pad(mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], 1)
    depth_mm = distance_transform_edt(inside, sampling=voxel_sizes(affine))
    return depth_mm[tuple((voxels - low + 1).T)]


def _onwards(line_mm: np.ndarray, count: int) -> np.ndarray:
    """`count` points (N, 3) straight on before the first of a line, the nearest first."""
    way = line_mm[0] - line_mm[min(int(_WAY_MM / _STEP_MM), len(line_mm) - 1)]
    steps = np.arange(1, count + 1)[:, None] * _STEP_MM
    return line_mm[0] + steps * way / np.linalg.norm(way)
