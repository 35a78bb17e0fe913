"""A picture of a scene from several sides, drawn without a display."""

import io
import os
from collections.abc import Sequence

import numpy as np

from spinalroots.reconstruct.scene import JOINED, Part

VIEWS = {
    "from behind": (0.0, 0.0),
    "oblique": (40.0, 15.0),
    "from the right": (90.0, 0.0),
}
"""Azimuth (counter-clockwise from above, 0 looks forward) and elevation of the eye, degrees."""
_WINDOWS = {"DISPLAY": "", "VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}
"""VTK draws into memory, whether or not there is a display."""
_NAMES_PX = 26


def scene_picture(
    parts: Sequence[Part],
    *,
    views: Sequence[str] = tuple(VIEWS),
    size_px: tuple[int, int] = (360, 1100),
    legend: dict[str, tuple[int, int, int]] | None = None,
) -> bytes:
    """PNG of closed surfaces in RAS+ mm, side by side from each of :data:`VIEWS` that is named.

    Parallel projection, so that a length is a length everywhere; a bar below shows 20 mm.

    :param size_px: width and height of each view.
    :param legend: name → RGB colour (0..255) below the picture; none by default.
    """
    from PIL import Image

    drawn = _rendered(parts, views, size_px)
    picture = Image.fromarray(drawn)
    if legend:
        picture = _with_legend(picture, legend)
    stored = io.BytesIO()
    picture.save(stored, "PNG", optimize=True)
    return stored.getvalue()


def _rendered(parts: Sequence[Part], views: Sequence[str], size_px: tuple[int, int]) -> np.ndarray:
    """RGB picture (height, views x width, 3)."""
    for name, value in _WINDOWS.items():
        os.environ.setdefault(name, value)
    import pyvista

    width, height = size_px
    low = np.min([part.surface.bounds[0] for part in parts], axis=0)
    high = np.max([part.surface.bounds[1] for part in parts], axis=0)
    plotter = pyvista.Plotter(
        off_screen=True,
        shape=(1, len(views)),
        window_size=(width * len(views), height),
        border=False,
        lighting="light kit",
    )
    for column, name in enumerate(views):
        plotter.subplot(0, column)
        plotter.set_background("white")
        for part in sorted(parts, key=lambda part: -part.opacity):  # what can be seen through, last
            plotter.add_mesh(
                pyvista.make_tri_mesh(part.surface.vertices, part.surface.faces),
                color=np.array(part.colour) / 255,
                opacity=part.opacity,
                smooth_shading=True,
                specular=0.25 if part.kind != JOINED else 0.0,
            )
        _look(plotter, *VIEWS[name], low, high, width / height)
        plotter.add_text(name, position="upper_edge", font_size=9, color="black")
        _scale_bar(plotter, *VIEWS[name], low, high)
    drawn = plotter.screenshot(return_img=True)
    plotter.close()
    return np.asarray(drawn)[..., :3]


def _look(plotter, azimuth: float, elevation: float, low, high, aspect: float) -> None:
    """Put the eye so that the whole box (low, high) is seen."""
    towards, right, up = _eye(azimuth, elevation)
    middle, half = (low + high) / 2, (high - low) / 2
    plotter.camera.position = middle + 1000 * towards
    plotter.camera.focal_point = middle
    plotter.camera.up = up
    plotter.camera.parallel_projection = True
    tall, wide = np.abs(up) @ half, np.abs(right) @ half
    plotter.camera.parallel_scale = 1.1 * max(tall, wide / aspect)
    plotter.camera.clipping_range = (500, 1500)


def _eye(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors (3,) RAS+ from the scene to the eye, to the picture's right, and up."""
    around, up = np.radians([azimuth, elevation])
    right = np.array([np.cos(around), np.sin(around), 0.0])
    behind = np.array([np.sin(around), -np.cos(around), 0.0])
    towards = np.cos(up) * behind + np.sin(up) * np.array([0.0, 0.0, 1.0])
    return towards, right, np.cross(towards, right)


def _scale_bar(plotter, azimuth: float, elevation: float, low, high) -> None:
    """A line of 20 mm at the foot of the view."""
    import pyvista

    towards, right, up = _eye(azimuth, elevation)
    middle, half = (low + high) / 2, (high - low) / 2
    foot = middle - 1.02 * (np.abs(up) @ half) * up + 400 * towards
    plotter.add_mesh(
        pyvista.Line(foot - 10 * right, foot + 10 * right), color="black", line_width=3
    )
    plotter.add_text("20 mm", position="lower_edge", font_size=8, color="black")


def _with_legend(picture, legend: dict[str, tuple[int, int, int]]):
    """The picture with names and colours below, as many in a row as fit."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=15)
    cell = max(int(font.getlength(name)) for name in legend) + 36
    columns = max(1, picture.width // cell)
    rows = -(-len(legend) // columns)
    whole = Image.new("RGB", (picture.width, picture.height + rows * _NAMES_PX + 8), "white")
    whole.paste(picture, (0, 0))
    pen = ImageDraw.Draw(whole)
    for index, (name, colour) in enumerate(legend.items()):
        row, column = divmod(index, columns)
        left, top = column * cell + 8, picture.height + row * _NAMES_PX + 4
        pen.rectangle((left, top, left + 16, top + 16), fill=tuple(colour))
        pen.text((left + 22, top - 1), name, fill="black", font=font)
    return whole
