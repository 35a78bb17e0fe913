"""Surfaces for the viewer: every root of every map, and cord and sac to look through."""

from collections.abc import Iterator

import numpy as np

from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.surfaces import surface_of
from spinalroots.registry.anatomy import TISSUES, Scheme, label_colour, label_names
from spinalroots.viewer import content

CORD, CSF, FAT = (TISSUES.index(name) + 1 for name in ("WM", "CSF", "fat"))


def of_roots(maps: dict[str, Volume], scheme: Scheme, smoothing_mm: float) -> Iterator[dict]:
    """A surface for every label of every map (uint8, RAS+), in its colour."""
    names = label_names(scheme)
    for key, labels in maps.items():
        for value in np.unique(labels.data[labels.data > 0]).tolist():
            surface = surface_of(labels.data == value, labels.affine, smoothing_mm)
            colour = label_colour(scheme, value)
            yield content.surface(
                surface.vertices, surface.faces, names[value], colour, map_key=key, value=value
            )


def of_tissues(maps: dict[str, Volume], smoothing_mm: float) -> Iterator[dict]:
    """Cord and dural sac of tissue maps (uint8, RAS+), the sac with all that lies in it."""
    for key, tissues in maps.items():
        cord = tissues.data == CORD
        sac = (tissues.data > 0) & (tissues.data != FAT)
        for name, mask, value, opacity in (("Cord", cord, CORD, 1.0), ("Sac", sac, CSF, 0.08)):
            if mask.any():
                surface = surface_of(mask, tissues.affine, 2 * smoothing_mm, fine=False)
                colour = label_colour(Scheme.TISSUES, value)
                yield content.surface(
                    surface.vertices, surface.faces, name, colour, map_key=key, opacity=opacity
                )
