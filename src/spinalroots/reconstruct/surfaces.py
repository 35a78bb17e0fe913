"""Closed surfaces of masks in scanner coordinates, as large as the masks, with fewer triangles."""

import numpy as np
import trimesh
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from skimage.measure import marching_cubes

from spinalroots.imaging.boxes import bounding_box
from spinalroots.reconstruct.crossings import crosses_itself

FINE_MM = 0.6
"""Coarser voxels are halved first, so that voxels that touch at a corner only stay joined."""
_MARGIN = 4
_CLOSE = 0.01
"""Share of its volume by which a surface may differ from its mask."""
_TRIES, _ASIDE = 10, 0.3
"""Levels that are tried for it, and how far they may be from the first."""
_NUDGE = 1e-3
"""By so much the level is moved where the surface at it is not closed."""


def surface_of(
    mask: np.ndarray,
    affine: np.ndarray,
    smoothing_mm: float,
    *,
    triangle_mm: float = 0.0,
    fine: bool = True,
) -> trimesh.Trimesh:
    """Closed surface of a mask (X, Y, Z), vertices in the mm of `affine` (4, 4), normals outwards.

    The mask is blurred by `smoothing_mm` and cut at the level that keeps its volume. With `fine` it
    is seen against its strongest neighbour first, and coarse voxels are halved: at half of the
    blurred mask, as is usual, a root thinner than the blur would vanish, and break where it gets
    thin. An empty mask gives a surface without triangles.

    :param triangle_mm: triangles are joined until their edges are about this long, or fewer of them
        where the surface would open or cross itself; 0 keeps them all.
    """
    box = bounding_box(mask)
    if box is None:
        return trimesh.Trimesh()
    solid = np.pad(mask[box], _MARGIN).astype(np.float32)
    spacing_mm = voxel_sizes(affine)
    times = np.where(fine & (spacing_mm > FINE_MM), 2, 1)
    for axis, count in enumerate(times):
        solid = solid.repeat(count, axis=axis)
    field = _field(solid, spacing_mm / times, smoothing_mm, fine) if smoothing_mm else solid
    start = np.array([part.start for part in box]) - _MARGIN
    level, vertices, faces = _cut(field, int(solid.sum()))
    for _ in range(_TRIES):
        places = apply_affine(affine, (vertices + 0.5) / times - 0.5 + start)
        surface = trimesh.Trimesh(places, faces)
        if surface.is_watertight:
            break
        level += _NUDGE  # a voxel as bright as the level pinches the surface in a point
        vertices, faces, _, _ = marching_cubes(field, level, allow_degenerate=False)
    if surface.volume < 0:
        surface.invert()
    return fewer(surface, triangle_mm) if triangle_mm else surface


def _field(
    solid: np.ndarray, spacing_mm: np.ndarray, smoothing_mm: float, fine: bool
) -> np.ndarray:
    """The blurred mask; over the largest value within a blur's reach it is about 1 along the middle
    of every thread."""
    soft = ndimage.gaussian_filter(solid, smoothing_mm / spacing_mm)
    if not fine:
        return soft
    reach = 2 * np.maximum(1, np.rint(smoothing_mm / spacing_mm).astype(int)) + 1
    return soft / np.maximum(ndimage.maximum_filter(soft, size=tuple(reach)), 0.05)


def _cut(field: np.ndarray, count: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Marching cubes (Lewiner et al. 2003) at the level whose surface encloses `count` voxels.

    The level that as many voxels lie above is nearly it; the rest is found by halving.
    """
    level = _level(field, count)
    low, high = max(level - _ASIDE, 0.02), min(level + _ASIDE, 0.98)
    for _ in range(_TRIES):
        vertices, faces, _, _ = marching_cubes(field, level, allow_degenerate=False)
        volume = abs(float(np.linalg.det(vertices[faces].astype(float)).sum())) / 6
        if abs(volume - count) <= _CLOSE * count or not low < level < high:
            break
        low, high = (low, level) if volume < count else (level, high)
        level = (low + high) / 2
    return level, vertices, faces


def _level(field: np.ndarray, count: int) -> float:
    """Halfway between the `count`-th largest value and the next one."""
    place = field.size - count
    ordered = np.partition(field.ravel(), (place - 1, place))
    return float(ordered[place - 1] + ordered[place]) / 2


def fewer(surface: trimesh.Trimesh, triangle_mm: float) -> trimesh.Trimesh:
    """The surface with edges of about `triangle_mm`, closed and free of crossings as it was.

    Quadric edge collapse that keeps the volume (Garland and Heckbert 1997; Lindstrom and Turk
    1998). Where it opens the surface, makes it cross itself or moves its volume, fewer edges are
    collapsed, and in the end none.
    """
    import pyvista

    wanted = surface.area / (np.sqrt(3) / 4 * triangle_mm**2)
    share = 1 - wanted / max(len(surface.faces), 1)
    solid = pyvista.make_tri_mesh(surface.vertices, surface.faces)
    while share > 0.1:
        less = solid.decimate(share, volume_preservation=True)
        found = trimesh.Trimesh(less.points, less.faces.reshape(-1, 4)[:, 1:])
        close = abs(found.volume - surface.volume) <= _CLOSE * abs(surface.volume)
        if close and found.is_watertight and not crosses_itself(found):
            return found
        share -= 0.2
    return surface
