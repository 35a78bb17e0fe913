"""Surfaces for the viewer: every root of every map, and cord and sac to look through."""

from collections.abc import Iterator

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from skimage.measure import marching_cubes

from spinalroots.imaging.boxes import bounding_box
from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.surfaces import root_surface
from spinalroots.registry.anatomy import TISSUES, Scheme, label_colour, label_names
from spinalroots.viewer import content

CORD, CSF = TISSUES.index("WM") + 1, TISSUES.index("CSF") + 1
FAT = TISSUES.index("fat") + 1
_TISSUE_BLUR_MM = 1.0


def of_roots(maps: dict[str, Volume], scheme: Scheme, smoothing_mm: float) -> Iterator[dict]:
    """A surface for every label of every map (uint8, RAS+), in its colour."""
    names = label_names(scheme)
    for key, labels in maps.items():
        for value in np.unique(labels.data[labels.data > 0]).tolist():
            surface = root_surface(labels.data == value, labels.affine, smoothing_mm)
            colour = label_colour(scheme, value)
            yield content.surface(
                surface.vertices, surface.faces, names[value], colour, map_key=key, value=value
            )


def of_tissues(maps: dict[str, Volume]) -> Iterator[dict]:
    """Cord and dural sac of tissue maps, the sac with all that lies in it."""
    for key, tissues in maps.items():
        cord = tissues.data == CORD
        sac = (tissues.data > 0) & (tissues.data != FAT)
        for name, mask, value, opacity in (("Cord", cord, CORD, 1.0), ("Sac", sac, CSF, 0.12)):
            if mask.any():
                points_mm, faces = envelope(mask, tissues.affine)
                colour = label_colour(Scheme.TISSUES, value)
                yield content.surface(points_mm, faces, name, colour, map_key=key, opacity=opacity)


def envelope(mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) in mm and faces (M, 3) of a thick structure (X, Y, Z), blurred by a
    millimetre: to look at, not to measure."""
    box = bounding_box(mask) or (slice(0, 0),) * 3
    solid = np.pad(mask[box].astype(np.float32), 3)
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    soft = ndimage.gaussian_filter(solid, _TISSUE_BLUR_MM / spacing_mm)
    points, faces, _, _ = marching_cubes(soft, min(0.5, float(soft.max()) / 2))
    start = np.array([side.start for side in box]) - 3
    if np.linalg.det(affine[:3, :3]) > 0:
        faces = faces[:, ::-1]
    return apply_affine(affine, points + start), faces
