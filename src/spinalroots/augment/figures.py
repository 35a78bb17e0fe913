"""What augmentation did, for eyes: the class distribution and a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots import pictures
from spinalroots.augment.distribution import STAGES
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Scheme, label_colour

_STAGE_COLOURS = {"raw": "#b8bec8", "refined": "#4c86c6", "augmented": "#e0803a"}


def write_distribution(path: Path, table: pd.DataFrame) -> None:
    """Bars per root, raw, refined and augmented: training cases above, voxels below."""
    individuals = table[table["scheme"] == str(Scheme.INDIVIDUALS)]
    shown = individuals if len(individuals) else table
    names = [label.replace("_", " ") for label in shown["label"]]
    place = np.arange(len(shown))
    figure = pictures.new_figure(max(8.0, 0.16 * len(shown) + 2.5), 6.2)
    axes = figure.subplots(2, 1, sharex=True)
    for axis, unit in zip(axes, ("cases", "voxels"), strict=True):
        for position, stage in enumerate(STAGES):
            axis.bar(
                place + 0.28 * (position - 1),
                shown[f"{stage}_{unit}"],
                width=0.28,
                color=_STAGE_COLOURS[stage],
                label=stage,
            )
        axis.set_ylabel(f"training {unit}")
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_yscale("symlog", linthresh=100)
    axes[0].legend(frameon=False, ncols=3)
    axes[0].set_title("How often each root occurs")
    axes[1].set_xticks(place, names, rotation=90, fontsize=7)
    axes[1].margins(x=0.01)
    pictures.save(path, figure)


TILE_WIDTH_INCH = 1.3

Tile = tuple[str, Volume, Volume | None]
"""Caption, scan, root labels (individuals or levels)."""


def write_contact_sheet(path: Path, rows: Sequence[Sequence[Tile]], scheme: Scheme) -> None:
    """Rows of an original and its variants: a coronal view, all roots projected onto it.

    All at the same scale, crops at their height in the original. Left is the patient's right, as
    radiologists look at a person.
    """
    columns = max((len(row) for row in rows), default=1)
    sizes = [np.array(scan.data.shape) * scan.spacing_mm for row in rows for _, scan, _ in row]
    widest, _, tallest = np.max(sizes, axis=0, initial=1.0)
    height = (TILE_WIDTH_INCH - 0.2) * tallest / widest + 0.5
    figure = pictures.new_figure(TILE_WIDTH_INCH * columns, min(height, 6.0) * max(len(rows), 1))
    axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, tiles in zip(axes, rows, strict=False):
        for axis, (caption, scan, roots) in zip(row, tiles, strict=False):
            width, _, height = np.array(scan.data.shape) * scan.spacing_mm
            bottom = scan.affine[2, 3] - tiles[0][1].affine[2, 3]
            axis.imshow(
                coronal_view(scan.data, None if roots is None else roots.data, scheme),
                extent=(0, width, bottom, bottom + height),
                origin="lower",
                interpolation="nearest",
            )
            axis.set_xlim(0, widest)
            axis.set_ylim(0, tallest)
            axis.set_title(caption, fontsize=6, loc="left", va="bottom")
    pictures.save(path, figure)


def coronal_view(image: np.ndarray, roots: np.ndarray | None, scheme: Scheme) -> np.ndarray:
    """(Z, X, 3) colours 0…1: the coronal slice with most root, every root projected onto it."""
    middle = image.shape[1] // 2
    if roots is not None and roots.any():
        middle = int((roots > 0).sum(axis=(0, 2)).argmax())
    low, high = np.percentile(image, (1, 99.5))
    grey = ((image[:, middle] - low) / max(high - low, 1e-6)).clip(0, 1)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if roots is not None:
        front = roots.max(axis=1)
        for value in np.unique(front[front > 0]).tolist():
            colour = np.array(label_colour(scheme, value)) / 255
            where = front == value
            picture[where] = 0.35 * picture[where] + 0.65 * colour
    return picture[::-1].transpose(1, 0, 2)
