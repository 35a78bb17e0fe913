"""Whole pictures: a prediction by itself, and a prediction beside the truth."""

import numpy as np

from spinalroots import pictures
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Scheme
from spinalroots.report import overlays

AXIAL_ROWS, AXIAL_COLUMNS = 3, 2


def preview(scan: Volume, levels: Volume, centreline: Centreline) -> bytes:
    """PNG of a level map: side and front view, and axial slices, labels filled in their colours.

    :param scan: image (X, Y, Z), RAS+, straight or oblique.
    :param levels: level map on the same grid.
    """
    return _picture(scan, centreline, [("", levels)], _fill_axial)


def comparison(scan: Volume, truth: Volume, prediction: Volume, centreline: Centreline) -> bytes:
    """PNG of two level maps: truth and prediction lengthwise, both as outlines in axial slices."""

    def outline(axes, view: overlays.View, height: int) -> None:
        for labels, colour in (
            (truth, overlays.TRUTH_COLOUR),
            (prediction, overlays.PREDICTION_COLOUR),
        ):
            view = overlays.axial_view(scan, labels, centreline, height)
            overlays.draw_contour(axes, view, colour)

    return _picture(scan, centreline, [("truth", truth), ("prediction", prediction)], outline)


def _fill_axial(axes, view: overlays.View, height: int) -> None:
    overlays.draw_filled(axes, view, Scheme.LEVELS, opacity=0.6)


def _picture(scan, centreline, maps, mark_axial) -> bytes:
    """Lengthwise views of every map in `maps` (name, level map), then axial slices of the first."""
    first = maps[0][1]
    together = np.maximum.reduce([labels.data for _, labels in maps])
    heights = overlays.heights_of(together, scan.spacing_mm[2]) or slice(0, scan.data.shape[2])
    lengthwise = [
        (name, axis, overlays.lengthwise_view(scan, labels, centreline, axis, heights))
        for axis in (1, 0)
        for name, labels in maps
    ]
    window = overlays.window_of(lengthwise[0][2])

    height_in = 6.4
    tall_mm = (heights.stop - heights.start) * scan.spacing_mm[2]
    width_in = float(np.clip(5.6 * 2 * overlays.HALF_WIDTH_MM / tall_mm, 0.9, 3.0))
    square_in = (height_in - 0.65) / AXIAL_ROWS
    total_in = len(lengthwise) * (width_in + 0.08) + AXIAL_COLUMNS * square_in + 0.1
    figure = pictures.new_figure(total_in, height_in, dpi=120, facecolor="black", layout=None)

    left = 0.04
    for name, axis, view in lengthwise:
        axes = _axes(figure, left, 0.35, width_in, height_in - 0.65)
        overlays.draw_grey(axes, view, window)
        overlays.draw_filled(axes, view, Scheme.LEVELS)
        seen = "from the side" if axis == 1 else "from the front"
        axes.set_title(f"{name}\n{seen}".strip(), color="white", fontsize=8, pad=2)
        left += width_in + 0.08
    marked = first.data if first.data.any() else together
    chosen = overlays.typical_heights(marked, AXIAL_ROWS * AXIAL_COLUMNS) if marked.any() else []
    for index, height in enumerate(chosen):
        row, column = divmod(index, AXIAL_COLUMNS)
        bottom = height_in - 0.3 - (row + 1) * square_in
        axes = _axes(figure, left + column * square_in, bottom, square_in - 0.06, square_in - 0.06)
        view = overlays.axial_view(scan, first, centreline, height)
        overlays.draw_grey(axes, view, window)
        mark_axial(axes, view, height)
    values = [int(value) for value in np.unique(together) if value]
    if values:
        overlays.legend(figure, values, Scheme.LEVELS)
    return pictures.png(figure)


def _axes(figure, left_in: float, bottom_in: float, width_in: float, height_in: float):
    return figure.add_axes(
        np.array([left_in, bottom_in, width_in, height_in]) / np.tile(figure.get_size_inches(), 2)
    )
