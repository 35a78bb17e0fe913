"""Pictures: a scan beside drawing and prediction, Dice by height, phantoms beside a real scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spinalroots import pictures
from spinalroots.imaging import centreline_mask
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.realscans.naming import CORD, ROOTS, SAC
from spinalroots.realscans.results import Result
from spinalroots.registry.anatomy import Scheme, label_colour
from spinalroots.report import overlays

HEIGHTS, PHANTOM_HEIGHTS = 8, 6
SQUARE_IN = 1.45
"""Edge of a square of 36 mm."""
_ROOTS_COLOUR, _SAC_COLOUR = (
    "#{:02x}{:02x}{:02x}".format(*label_colour(scheme, value))
    for scheme, value in ((Scheme.ENTITY, 1), (Scheme.TISSUES, centreline_mask.CSF))
)
_CORD_COLOUR = "#7bd389"


@dataclass(frozen=True)
class Shown:
    """A scan in a picture: its `middle` to cut squares around, and the axial slice `conus_z` that
    heights count from; `low_mm` and `high_mm`: how far it can be shown."""

    name: str
    scan: Volume
    middle: Centreline
    conus_z: float
    low_mm: float
    high_mm: float

    def slice_at(self, height_mm: float) -> int:
        """The axial slice `height_mm` above the conus."""
        return round(self.conus_z + height_mm / float(self.scan.spacing_mm[2]))


def shown(name: str, scan: Volume, middle: Centreline, conus_z: float) -> Shown:
    """A scan as far as its `middle` is known."""
    heights = scan.grid.to_voxels(middle.points_mm)[:, 2]
    low, high = (
        float(end - conus_z) * float(scan.spacing_mm[2]) for end in (heights.min(), heights.max())
    )
    return Shown(name, scan, middle, conus_z, low, high)


def overlay(result: Result) -> bytes:
    """PNG: scan, drawing and prediction side by side at eight heights, same zoom, same window.

    Roots and cord are filled, the sac is outlined. Heights are spread evenly over the drawing.
    """
    reference = result.reference
    slices = _spread(np.logical_or.reduce([*reference.trusted.values()]))
    views = [
        overlays.axial_view(reference.scan, reference.scan, reference.middle, z) for z in slices
    ]
    window = _window(views)
    blocks = 2
    rows = -(-len(slices) // blocks)
    figure = pictures.new_figure(
        3 * blocks * SQUARE_IN + 0.3, rows * SQUARE_IN + 0.5, facecolor="black", layout=None
    )
    for index, z in enumerate(slices):
        block, line = divmod(index, rows)
        for column, masks in enumerate(({}, reference.masks, result.masks)):
            left = (3 * block + column) * SQUARE_IN + 0.2 * block
            axes = _square(figure, left, rows * SQUARE_IN - (line + 1) * SQUARE_IN + 0.2)
            _draw(axes, reference.scan, reference.middle, z, window, masks)
            if line == 0:
                title = ("scan", "drawn by hand", "found")[column]
                axes.set_title(title, color="white", fontsize=8, pad=3)
            if column == 0:
                _note(axes, f"z {z}")
    names = ((_ROOTS_COLOUR, "roots"), (_CORD_COLOUR, "cord"), (_SAC_COLOUR, "sac"))
    for place, (colour, name) in enumerate(names):
        figure.text(0.02 + 0.06 * place, 0.01, name, color=colour, fontsize=8, weight="bold")
    where = f"{reference.name}, found by {result.model}"
    figure.text(0.98, 0.01, where, color="white", fontsize=8, ha="right")
    return pictures.png(figure)


def by_height(results: Sequence[Result]) -> bytes:
    """PNG: the roots' Dice in every trusted slice of one scan, a line a model."""
    reference = results[0].reference
    figure = pictures.new_figure(6, 3.2)
    axes = figure.subplots()
    slices = np.flatnonzero(reference.trusted[ROOTS])
    for part in np.array_split(slices, 3)[1:]:
        axes.axvline(part[0] - 0.5, color="0.8", lw=0.8)
    for one in results:
        axes.plot(one.scores[ROOTS].dice_by_slice, lw=1.2, label=one.model)
    axes.set(
        title=f"{reference.name}: roots, by height",
        xlabel="axial slice, from below",
        ylabel="Dice",
        xlim=(slices[0] - 1, slices[-1] + 1),
        ylim=(0, 1),
    )
    axes.legend(fontsize=8, loc="lower right")
    return pictures.png(figure)


def beside_phantoms(rows: Sequence[Shown]) -> bytes:
    """PNG: scans at six heights above and below the conus, a row each, same zoom, and the same
    window by each scan's own grey values."""
    low, high = max(one.low_mm for one in rows), min(one.high_mm for one in rows)
    heights = np.linspace(high, low, PHANTOM_HEIGHTS + 2)[1:-1]
    figure = pictures.new_figure(
        len(heights) * SQUARE_IN, len(rows) * SQUARE_IN + 0.25, facecolor="black", layout=None
    )
    for line, one in enumerate(rows):
        slices = [one.slice_at(height) for height in heights]
        window = _window([overlays.axial_view(one.scan, one.scan, one.middle, z) for z in slices])
        for column, z in enumerate(slices):
            axes = _square(figure, column * SQUARE_IN, (len(rows) - 1 - line) * SQUARE_IN)
            _draw(axes, one.scan, one.middle, z, window, {})
            if line == 0:
                title = f"{heights[column]:+.0f} mm".replace("-", "−")
                axes.set_title(title, color="white", fontsize=8, pad=3)
            if column == 0:
                _note(axes, one.name)
    return pictures.png(figure)


def _spread(trusted: np.ndarray) -> list[int]:
    """Slices evenly over those that are trusted, from above."""
    slices = np.flatnonzero(trusted)
    places = (np.arange(HEIGHTS) + 0.5) / HEIGHTS * len(slices)
    return sorted({int(slices[int(place)]) for place in places}, reverse=True)


def _window(views: Sequence[overlays.View]) -> tuple[float, float]:
    together = np.concatenate([view.grey.ravel() for view in views])
    return overlays.window_of(overlays.View(together, together, (0, 0, 0, 0)))


def _draw(
    axes,
    scan: Volume,
    middle: Centreline,
    z: int,
    window: tuple[float, float],
    masks: Mapping[str, np.ndarray],
) -> None:
    def view_of(labels: np.ndarray) -> overlays.View:
        return overlays.axial_view(scan, scan.with_data(labels), middle, z)

    overlays.draw_grey(axes, view_of(scan.data), window)
    if SAC in masks:
        overlays.draw_contour(axes, view_of(masks[SAC]), _SAC_COLOUR, 0.9)
    if CORD in masks:
        overlays.draw_contour(axes, view_of(masks[CORD]), _CORD_COLOUR, 1.2)
    if ROOTS in masks:
        overlays.draw_filled(axes, view_of(masks[ROOTS].astype(np.uint8)), Scheme.ENTITY, 0.7)
    half_mm = 0.75 * overlays.HALF_WIDTH_MM
    across, front = middle.in_slices(scan.grid)[z] * scan.spacing_mm[:2]
    axes.set(xlim=(across + half_mm, across - half_mm), ylim=(front - half_mm, front + half_mm))


def _square(figure, left_in: float, bottom_in: float):
    place = np.array([left_in + 0.02, bottom_in + 0.02, SQUARE_IN - 0.04, SQUARE_IN - 0.04])
    return figure.add_axes(place / np.tile(figure.get_size_inches(), 2))


def _note(axes, text: str) -> None:
    axes.text(0.03, 0.03, text, color="white", fontsize=7, transform=axes.transAxes)
