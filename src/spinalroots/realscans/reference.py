"""A real scan and what a person drew on it, read and checked."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinalroots.errors import InputError
from spinalroots.files import sha256
from spinalroots.files.text import read_text
from spinalroots.imaging import centreline_mask
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image
from spinalroots.realscans import naming
from spinalroots.realscans.drawing import PARTS, Part, read_on_grid, read_parts, sidecar
from spinalroots.realscans.naming import CORD, LINE, SAC, TISSUES, Files

DEVELOPMENT = {
    "380bbd7ad8c90fdfc5f43ab297190fe49b8b7e8eea69fabba42b4b30d28c844f": "t2_lumbar",
    "15cde5cdc5e56ad4f7d5fef698b317864c9bd68c0f72d2b3022c9fae6d11d977": "t2",
}
"""SHA-256 of the scans of the Spinal Cord Toolbox that this project looked at while it was made."""
CHOSE_DESIGNS = "development: chose designs, never trained on"


@dataclass(frozen=True)
class Reference:
    """What is known of a real scan (X, Y, Z), RAS+.

    `masks`: part → bool (X, Y, Z), for what was drawn. `trusted`: part → bool (Z,), the axial
    slices to score. `line_mm` (N, 3): middle of the cord, below it of the sac, RAS+ mm;
    `line_source`: where it is from. `middle`: the same as the drawing has it, smoothed, for views.
    `conus_z`: axial slice of the cord's end, None where that is not shown. `files`: kind → name.
    """

    name: str
    scan: Volume
    masks: Mapping[str, np.ndarray]
    trusted: Mapping[str, np.ndarray]
    line_mm: np.ndarray
    line_source: str
    middle: Centreline
    conus_z: float | None
    use: str
    files: Mapping[str, str]


def read(files: Files, name: str) -> Reference:
    """The scan and its drawings.

    :raises InputError: as :func:`read_parts`; an unreadable scan or line, nothing drawn at all.
    """
    scan = read_image(files.scan)
    parts: dict[str, Part] = {}
    told: dict[str, Any] = {}
    for kind in (TISSUES, *PARTS):  # a mask of its own wins over the tissue drawing
        if (path := files.drawings.get(kind)) is not None:
            told |= sidecar(path)
            parts |= read_parts(path, kind, files.scan, scan)
    masks = {name: part.mask for name, part in parts.items()}
    line = _line(files, scan, only_by_hand=bool({SAC, CORD} & masks.keys()))
    if masks:
        middle = _middle(scan, masks)
    elif line is not None:
        middle = Centreline(_rising(line[0]), "drawing")
    else:
        raise InputError(
            files.scan,
            expected="something drawn on the scan",
            found=f"nothing in {', '.join(path.name for path in files.drawings.values())}",
            fix="Draw roots, sac or cord.",
        )
    line_mm, source = line or (middle.points_mm, "middle of the drawing")
    return Reference(
        name,
        scan,
        masks,
        {name: part.trusted for name, part in parts.items()},
        line_mm,
        source,
        middle,
        float(tip) if isinstance(tip := told.get("conus_tip_z"), int | float) else _conus(masks),
        str(told.get("use", CHOSE_DESIGNS if sha256(files.scan) in DEVELOPMENT else "not known")),
        {"scan": files.scan.name, **{kind: path.name for kind, path in files.drawings.items()}},
    )


def _line(files: Files, scan: Volume, *, only_by_hand: bool) -> tuple[np.ndarray, str] | None:
    """Points (N, 3) in RAS+ mm of a drawn centreline, and the file's name; None if there is none.

    A line that a program found is worth less than the middle of a cord or sac that a person drew.
    """
    path = files.drawings.get(LINE)
    if path is None or (only_by_hand and not naming.by_hand(path)):
        return None
    if path.suffix != ".csv":
        drawn = read_on_grid(path, files.scan, scan)
        centres, area = centreline_mask.slice_centres(drawn > 0, scan.spacing_mm)
        shown = np.flatnonzero(area)
        points_mm = scan.grid.to_mm(np.column_stack([centres[shown], shown]))
    else:
        points_mm = _points(path)
    if len(points_mm) < 2 or not np.isfinite(points_mm).all():
        raise InputError(
            path,
            expected="at least two points in RAS+ mm",
            found=f"{len(points_mm)} points, {int(np.isnan(points_mm).sum())} numbers missing",
            fix="Complete the line, or take it away.",
        )
    return points_mm, path.name


def _points(path: Path) -> np.ndarray:
    import pandas as pd

    columns = ["x_mm", "y_mm", "z_mm"]
    try:
        table = pd.read_csv(io.StringIO(read_text(path)), sep=None, engine="python")
        return table[columns].to_numpy(float)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            path,
            expected="columns x_mm, y_mm and z_mm with numbers, RAS+ mm",
            found=f"something else ({error})",
            fix="Name the columns so in the first line.",
        ) from error


def _rising(points_mm: np.ndarray) -> np.ndarray:
    return points_mm[np.unique(points_mm[:, 2], return_index=True)[1]]


def _middle(scan: Volume, masks: Mapping[str, np.ndarray]) -> Centreline:
    tissues = np.zeros(scan.data.shape, np.uint8)
    for part, mask in masks.items():
        if part != CORD:
            tissues[mask] = centreline_mask.CSF
    tissues[masks.get(CORD, np.zeros_like(tissues, bool))] = centreline_mask.CORD
    return centreline_mask.from_masks(scan.with_data(tissues))


def _conus(masks: Mapping[str, np.ndarray]) -> float | None:
    """The lowest slice with cord, where the sac is drawn further down."""
    if CORD not in masks or SAC not in masks:
        return None
    cord, sac = (int(np.argmax(masks[part].any(axis=(0, 1)))) for part in (CORD, SAC))
    return float(cord) if sac < cord else None
