"""Pictures of label maps on scans: side view and front view along the centreline, axial squares.

All views are flat arrays with their extent in mm, so that anisotropic voxels are drawn true to
scale. Radiological habit: the patient's right, or front, is on the viewer's left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Scheme, label_colour, label_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH_COLOUR = "#4cc9f0"
PREDICTION_COLOUR = "#ff9f1c"
HALF_WIDTH_MM = 24.0
"""Half of what a view shows across: the dural sac is 14 to 21 mm wide."""

_MARGIN_MM = 12.0


@dataclass(frozen=True)
class View:
    """A grey slice (U, V) and a label slice (U, V); `extent_mm` (left, right, bottom, top)."""

    grey: np.ndarray
    labels: np.ndarray
    extent_mm: tuple[float, float, float, float]


def lengthwise_view(
    scan: Volume, labels: Volume, centreline: Centreline, across: int, heights: slice
) -> View:
    """The scan cut along the centreline, all labels projected onto the cut.

    :param across: axis that the view shows across: 1 for the side view, 0 for the front view.
    :param heights: range of axial slices shown.
    """
    seen_through = 1 - across
    levels = np.arange(heights.start, heights.stop)
    crossing = centreline.in_slices(scan.grid)[heights]
    last_voxel = scan.data.shape[seen_through] - 1
    depth = np.clip(np.rint(crossing[:, seen_through]).astype(int), 0, last_voxel)
    middle = crossing[:, across].mean()
    half = HALF_WIDTH_MM / scan.spacing_mm[across]
    first = max(int(middle - half), 0)
    last = min(int(middle + half) + 1, scan.data.shape[across])
    slab = np.moveaxis(scan.data, seen_through, 0)[:, first:last, heights]
    grey = slab[depth, :, np.arange(len(levels))].T
    projected = np.moveaxis(labels.data, seen_through, 0)[:, first:last, heights].max(axis=0)
    low, high = (np.array([first, last]) - 0.5) * scan.spacing_mm[across]
    bottom, top = (np.array([heights.start, heights.stop]) - 0.5) * scan.spacing_mm[2]
    return View(grey, projected, (low, high, bottom, top))


def axial_view(scan: Volume, labels: Volume, centreline: Centreline, height: int) -> View:
    """The axial slice `height` in a square around the centreline."""
    voxel = centreline.in_slices(scan.grid)[height]
    box, extent = [], []
    for axis in (0, 1):
        half = 0.75 * HALF_WIDTH_MM / scan.spacing_mm[axis]
        first = int(np.clip(voxel[axis] - half, 0, scan.data.shape[axis] - 2))
        last = int(np.clip(voxel[axis] + half + 1, first + 2, scan.data.shape[axis]))
        box.append(slice(first, last))
        extent += [(first - 0.5) * scan.spacing_mm[axis], (last - 0.5) * scan.spacing_mm[axis]]
    place = (box[0], box[1], height)
    left, right, bottom, top = extent
    return View(scan.data[place], labels.data[place], (left, right, bottom, top))


def heights_of(labels: np.ndarray, spacing_z_mm: float) -> slice | None:
    """Range of axial slices that holds labels, with a margin; None if there are none."""
    found = np.flatnonzero(labels.any(axis=(0, 1)))
    if not found.size:
        return None
    margin = round(_MARGIN_MM / spacing_z_mm)
    return slice(max(int(found[0]) - margin, 0), min(int(found[-1]) + margin + 1, labels.shape[2]))


def typical_heights(labels: np.ndarray, count: int) -> list[int]:
    """`count` axial slices spread over the labels by volume: more roots, more slices."""
    filled = np.cumsum(np.count_nonzero(labels, axis=(0, 1)))
    wanted = (np.arange(count) + 0.5) / count * filled[-1]
    return sorted({int(np.searchsorted(filled, value)) for value in wanted}, reverse=True)


def draw_grey(axes: Axes, view: View, window: tuple[float, float]) -> None:
    """Draw a view's grey slice; the first axis runs leftwards, as radiologists are used to."""
    axes.imshow(
        view.grey.T,
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        origin="lower",
        extent=view.extent_mm,
        interpolation="bilinear",
    )
    axes.set(facecolor="black", xlim=view.extent_mm[1::-1], ylim=view.extent_mm[2:])
    axes.autoscale(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_filled(axes: Axes, view: View, scheme: Scheme, opacity: float = 0.85) -> None:
    """Draw a view's labels filled in their own colours."""
    picture = np.zeros((*view.labels.shape, 4))
    for value in np.unique(view.labels[view.labels > 0]):
        colour = np.array(label_colour(scheme, int(value))) / 255
        picture[view.labels == value] = (*colour, opacity)
    axes.imshow(
        picture.transpose(1, 0, 2), origin="lower", extent=view.extent_mm, interpolation="nearest"
    )


def draw_contour(axes: Axes, view: View, colour: str, width: float = 1.2) -> None:
    """Draw the outline of a view's labels, all labels as one, along the pixels' edges."""
    mask = view.labels > 0
    if not mask.any():
        return
    fine = np.kron(np.pad(mask, 1), np.ones((8, 8)))
    left, right, bottom, top = view.extent_mm
    step_x, step_y = (right - left) / mask.shape[0], (top - bottom) / mask.shape[1]
    extent = (left - step_x, right + step_x, bottom - step_y, top + step_y)
    axes.contour(fine.T, levels=[0.5], colors=[colour], linewidths=width, extent=extent)


def window_of(view: View) -> tuple[float, float]:
    """Grey values drawn black and white: the 1st and 99.5th percentile of a view."""
    low, high = np.percentile(view.grey, [1, 99.5])
    return float(low), float(max(high, low + 1e-6))


def legend(figure: Figure, values: list[int], scheme: Scheme, y: float = 0.02) -> None:
    """Names of the labels in their colours along the bottom of the figure."""
    names = label_names(scheme)
    for index, value in enumerate(values):
        colour = np.array(label_colour(scheme, value)) / 255
        x = (index + 0.5) / len(values)
        figure.text(x, y, names[value], color=colour, ha="center", fontsize=8, weight="bold")
