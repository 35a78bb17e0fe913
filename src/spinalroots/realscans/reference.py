"""A real scan and what a person drew on it, read and checked.

A JSON named as a drawing may say more about it; other keys are left alone:

``sac_trusted_z: [8, 154]``  first and last axial slice in which the drawing may be trusted, RAS+
                             voxel indices from 0 on; also a list of such pairs. So for `roots` and
                             `cord`; `trusted_z` holds for the others. Without it: from the first to
                             the last slice in which the part is drawn.
``labels: {"1": "CSF", …}``  what the values of a tissue drawing mean: CSF, roots, cord, or else
                             something that is not scored
``conus_tip_z: 88``          where the cord ends; without it: the lowest slice with cord
``use: "test scan"``         what the scan has been used for
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinalroots.errors import InputError
from spinalroots.files import read_json, sha256
from spinalroots.imaging import centreline_mask
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, read_labels, require_same_grid
from spinalroots.realscans import naming
from spinalroots.realscans.naming import CORD, LINE, ROOTS, SAC, TISSUES, Files

PARTS = (ROOTS, SAC, CORD)
"""What is scored. The sac is all that the dura holds: CSF, roots and cord."""
LABELS = {"1": "CSF", "2": "roots", "3": "cord"}
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

    :raises InputError: an unreadable file, another grid than the scan's, unknown label values,
        slices that the scan does not have, an empty drawing.
    """
    scan = read_image(files.scan)
    masks: dict[str, np.ndarray] = {}
    trusted: dict[str, np.ndarray] = {}
    told: dict[str, Any] = {}
    for kind in (TISSUES, *PARTS):  # a mask of its own wins over the tissue drawing
        if (path := files.drawings.get(kind)) is not None:
            beside = _beside(path)
            told |= beside
            drawn = _on_grid(path, files.scan, scan)
            for part, mask in _parts(path, kind, drawn.data, beside.get("labels", LABELS)).items():
                masks[part] = mask
                trusted[part] = _trusted(path, part, mask, beside)
    line = _line(files, scan, only_by_hand=bool(masks))
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
        trusted,
        line_mm,
        source,
        middle,
        told.get("conus_tip_z", _conus(masks)),
        str(told.get("use", CHOSE_DESIGNS if sha256(files.scan) in DEVELOPMENT else "not known")),
        {"scan": files.scan.name, **{kind: path.name for kind, path in files.drawings.items()}},
    )


def _beside(path: Path) -> dict[str, Any]:
    """The JSON of a drawing; empty if there is none."""
    sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if not sidecar.is_file():
        return {}
    try:
        found = read_json(sidecar)
    except ValueError as error:
        found = error
    if not isinstance(found, dict):
        raise InputError(
            sidecar,
            expected="a JSON object about the drawing",
            found=str(found),
            fix="Mend it, or take it away: then every drawn slice is scored.",
        )
    return found


def _on_grid(path: Path, scan_path: Path, scan: Volume) -> Volume:
    drawn = read_labels(path)
    require_same_grid(path, drawn, scan_path.name, scan)
    return drawn


def _parts(
    path: Path, kind: str, drawn: np.ndarray, labels: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Part → mask (X, Y, Z) of what a drawing shows; what has no voxel is left out."""
    if kind != TISSUES:
        masks = {kind: drawn > 0}
    else:
        if unknown := set(np.unique(drawn).tolist()) - {0, *map(int, labels)}:
            raise InputError(
                path,
                expected=f"the values {', '.join(f'{v} ({m})' for v, m in labels.items())}",
                found=f"the value {min(unknown)}",
                fix='Say what it means in a JSON of the same name: "labels": {"4": "fat"}.',
            )
        values: dict[str, list[int]] = {"csf": [], "root": [], "cord": []}
        for value, words in labels.items():
            for word, found in values.items():
                if word in words.lower():
                    found.append(int(value))
                    break
        every = [value for found in values.values() for value in found]
        masks = {
            ROOTS: np.isin(drawn, values["root"]),
            CORD: np.isin(drawn, values["cord"]),
            SAC: np.isin(drawn, every if np.isin(drawn, values["csf"]).any() else []),
        }
    return {part: mask for part, mask in masks.items() if mask.any()}


def _trusted(path: Path, part: str, mask: np.ndarray, told: Mapping[str, Any]) -> np.ndarray:
    """(Z,) bool: the slices of `mask` (X, Y, Z) that may be scored."""
    drawn = np.flatnonzero(mask.any(axis=(0, 1)))
    key = f"{part}_trusted_z" if f"{part}_trusted_z" in told else "trusted_z"
    given = told.get(key, [int(drawn[0]), int(drawn[-1])])
    chosen = np.zeros(mask.shape[2], bool)
    try:
        for first, last in np.array(given, int).reshape(-1, 2).tolist():
            if not 0 <= first <= last < len(chosen):
                raise ValueError
            chosen[first : last + 1] = True
    except (TypeError, ValueError):
        raise InputError(
            f"{path.name}, {key}",
            expected=f"first and last slice, [{drawn[0]}, {drawn[-1]}] for example, from 0 to "
            f"{len(chosen) - 1}; or a list of such pairs",
            found=str(given),
            fix="Correct the JSON beside the drawing.",
        ) from None
    return chosen


def _line(files: Files, scan: Volume, *, only_by_hand: bool) -> tuple[np.ndarray, str] | None:
    """Points (N, 3) in RAS+ mm of a drawn centreline, and the file's name; None if there is none.

    A line that a program found is worth less than the middle of what a person drew.
    """
    path = files.drawings.get(LINE)
    if path is None or (only_by_hand and not naming.by_hand(path)):
        return None
    if path.suffix != ".csv":
        drawn = _on_grid(path, files.scan, scan)
        centres, area = centreline_mask.slice_centres(drawn.data > 0, scan.spacing_mm)
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
        table = pd.read_csv(path, sep=None, engine="python")
        return table[columns].to_numpy(float)
    except (KeyError, ValueError) as error:
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
