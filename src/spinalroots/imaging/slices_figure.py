"""The picture of a scan before and after its slices are cut around the centreline."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spinalroots import pictures
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.slices import Squares
from spinalroots.imaging.volume import Volume

SHARES = (0.85, 0.5, 0.15)
"""Heights of the axial slices shown, as shares of the scan's height."""


def write(
    path: Path, scan: Volume, centreline: Centreline, squares: Squares, values: np.ndarray
) -> None:
    """Draw the scan with its squares on the left, what they hold (S, S, Z) on the right (.png)."""
    from matplotlib.patches import Rectangle

    figure = pictures.new_figure(12, 7.5, dpi=90)
    panels = figure.subplot_mosaic(
        [
            ["before", *(f"axial {n}" for n in range(3)), "after"],
            ["before", *(f"square {n}" for n in range(3)), "after"],
        ],
        width_ratios=[1.4, 1, 1, 1, 0.7],
    )
    bright = float(np.percentile(scan.data, 99.5))
    crossings, spacing = centreline.in_slices(scan.grid), scan.spacing_mm
    middle = int(np.clip(np.rint(np.median(crossings[:, 0])), 0, scan.data.shape[0] - 1))
    _show(panels["before"], scan.data[middle], spacing[1:], bright)
    panels["before"].plot(
        crossings[:, 1] * spacing[1], np.arange(len(crossings)) * spacing[2], "c", lw=1
    )
    panels["before"].set_title("before: sagittal, centreline")
    _show(panels["after"], values[squares.size_vox // 2], (squares.voxel_mm, spacing[2]), bright)
    panels["after"].set_title("after: straight")
    for number, share in enumerate(SHARES):
        z = round(share * (scan.data.shape[2] - 1))
        axial = panels[f"axial {number}"]
        _show(axial, scan.data[:, :, z], spacing[:2], bright)
        edge = squares.size_vox * squares.voxel_mm
        corner = (squares.corners[z] - 0.5) * squares.voxel_mm
        corner = corner + 0.5 * (squares.voxel_mm - spacing[:2])
        axial.add_patch(Rectangle(tuple(corner), edge, edge, fill=False, edgecolor="c", lw=1))
        axial.set_title(f"slice {z}")
        square = panels[f"square {number}"]
        _show(square, values[:, :, z], (squares.voxel_mm,) * 2, bright)
        square.set_title(f"{edge:.0f} mm square")
    pictures.save(path, figure)


def _show(axes, plane: np.ndarray, spacing_mm: Iterable[float], bright: float) -> None:
    """A plane (A, B) with axis A to the right, in mm with voxel centres at whole voxel sizes."""
    across, up = (float(value) for value in spacing_mm)
    width, height = plane.shape
    extent = (-across / 2, (width - 0.5) * across, -up / 2, (height - 0.5) * up)
    axes.imshow(plane.T, origin="lower", cmap="gray", vmin=0, vmax=bright, extent=extent)
    axes.set_xticks([])
    axes.set_yticks([])
