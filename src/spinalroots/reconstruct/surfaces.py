"""Closed surfaces of roots in scanner coordinates, and a picture of them from several sides."""

from pathlib import Path

import numpy as np
import trimesh
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from skimage.measure import marching_cubes

from spinalroots import pictures
from spinalroots.imaging.boxes import bounding_box

FINE_MM = 0.6
"""Coarser voxels are halved first, so that voxels that touch at a corner only stay joined."""
_MARGIN = 4


def root_surface(mask: np.ndarray, affine: np.ndarray, smoothing_mm: float) -> trimesh.Trimesh:
    """Closed surface of a mask (X, Y, Z), vertices in the mm of `affine` (4, 4), normals outwards.

    The mask is blurred by `smoothing_mm`, seen against its strongest neighbour and cut at the level
    that keeps its volume. At half of the blurred mask, as is usual, a root thinner than the blur
    would vanish, and break where it gets thin.
    """
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


VIEWS = {
    "coronal, from behind": (0.0, 0.0),
    "oblique": (40.0, 15.0),
    "sagittal, from the right": (90.0, 0.0),
}
"""Azimuth (counter-clockwise from above, 0 looks forward) and elevation of the eye, degrees."""
_LIGHT = np.array([-0.35, 0.45, 0.82])


def write_picture(
    path: Path, surfaces: list[trimesh.Trimesh], colours: list[tuple], legend: dict[str, tuple]
) -> None:
    """Draw surfaces in RAS+ mm with their RGB `colours` (0..255), back to front, as a .png.

    :param legend: text → RGB colour of the entries below the picture.
    """
    from matplotlib.lines import Line2D

    corners = np.concatenate([surface.triangles for surface in surfaces])
    shades = np.repeat(np.array(colours) / 255, [len(one.faces) for one in surfaces], axis=0)
    figure = pictures.new_figure(11, 9, dpi=100)
    for axes, (name, angles) in zip(figure.subplots(1, len(VIEWS)), VIEWS.items(), strict=True):
        _draw(axes, corners, shades, *angles)
        axes.set_title(name)
    marks = [
        Line2D([], [], marker="s", linestyle="", color=np.array(colour) / 255, label=text)
        for text, colour in legend.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), 11))
    pictures.save(path, figure)


def _draw(axes, corners: np.ndarray, shades: np.ndarray, azimuth: float, elevation: float) -> None:
    """Triangles (N, 3, 3) in mm, sorted by depth and shaded by their slope towards the light."""
    from matplotlib.collections import PolyCollection

    turned = corners @ _view(azimuth, elevation).T
    normal = np.cross(turned[:, 1] - turned[:, 0], turned[:, 2] - turned[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    facing = normal[:, 2] > 0
    order = np.flatnonzero(facing)[np.argsort(turned[facing, :, 2].mean(axis=1), kind="stable")]
    light = 0.45 + 0.55 * np.clip(normal[order] @ _LIGHT, 0, 1)
    faces = PolyCollection(
        turned[order, :, :2],
        facecolors=shades[order] * light[:, None],
        edgecolors="face",
        linewidths=0.2,
    )
    axes.add_collection(faces)
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.set_xlabel("mm")


def _view(azimuth: float, elevation: float) -> np.ndarray:
    """(3, 3) rotation of RAS+ mm into the picture's right, up and towards the eye."""
    around, up = np.radians([azimuth, elevation])
    right = np.array([np.cos(around), np.sin(around), 0.0])
    behind = np.array([np.sin(around), -np.cos(around), 0.0])
    towards = np.cos(up) * behind + np.sin(up) * np.array([0.0, 0.0, 1.0])
    return np.stack([right, np.cross(towards, right), towards])
