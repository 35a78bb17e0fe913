"""A picture of surfaces from several sides, drawn back to front: no graphics card needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinalroots import pictures

if TYPE_CHECKING:
    import trimesh

VIEWS = {
    "coronal, from behind": (0.0, 0.0),
    "oblique": (40.0, 15.0),
    "sagittal, from the right": (90.0, 0.0),
}
"""Azimuth (counter-clockwise from above, 0 looks forward) and elevation of the eye, degrees."""
_LIGHT = np.array([-0.35, 0.45, 0.82])


def write(
    path: Path, surfaces: list[trimesh.Trimesh], colours: list[tuple], legend: dict[str, tuple]
) -> None:
    """Draw surfaces in RAS+ mm with their RGB `colours` (0..255) as a .png.

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
