"""A drawing on a scan: its masks, and the axial slices in which it may be trusted.

A JSON named as a drawing may say more about it; other keys are left alone:

``sac_trusted_z: [8, 154]``  first and last axial slice in which the drawing may be trusted, RAS+
                             voxel indices from 0 on; also a list of such pairs. So for `roots` and
                             `cord`; `trusted_z` holds for the others, or has them as keys. Without
                             it: from the first to the last slice in which the part is drawn.
``labels: {"1": "CSF", …}``  what the values of a tissue drawing mean: CSF, roots, cord, or else
                             something that is not scored. Without it 1 CSF, 2 roots, 3 cord; in a
                             corrected `label-tissues_dseg` what `predict` means by them
``conus_tip_z: 88``          where the cord ends; without it: the lowest slice with cord
``use: "test scan"``         what the scan has been used for
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinalroots.dataset.layout import LABEL_SUFFIX
from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid
from spinalroots.realscans.naming import CORD, ROOTS, SAC, TISSUES
from spinalroots.registry.anatomy import Scheme, label_names

PARTS = (ROOTS, SAC, CORD)
"""What is scored. The sac is all that the dura holds: CSF, roots and cord."""
LABELS = {1: "CSF", 2: "roots", 3: "cord"}
"""Of a tissue drawing whose JSON and name say nothing else."""


def sidecar(path: Path) -> dict[str, Any]:
    """The JSON of a drawing; empty if there is none."""
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if not beside.is_file():
        return {}
    try:
        found = read_json(beside)
    except ValueError as error:
        found = error
    if not isinstance(found, dict):
        raise InputError(
            beside,
            expected="a JSON object about the drawing",
            found=str(found),
            fix="Mend it, or take it away: then every drawn slice is scored.",
        )
    return found


@dataclass(frozen=True)
class Part:
    """`mask` (X, Y, Z) bool, and the axial slices `trusted` (Z,) bool in which it may be scored."""

    mask: np.ndarray
    trusted: np.ndarray


def read_parts(path: Path, kind: str, scan_path: Path, scan: Volume) -> dict[str, Part]:
    """What the drawing at `path` shows on its scan; what has no voxel is left out.

    :raises InputError: an unreadable file, another grid than the scan's, a value without a meaning,
        slices that the scan does not have.
    """
    told, drawn = sidecar(path), read_on_grid(path, scan_path, scan)
    if kind != TISSUES:
        masks = {kind: drawn > 0}
    else:
        labels = _labels(path, told)
        if unknown := set(np.unique(drawn).tolist()) - {0, *labels}:
            raise InputError(
                path,
                expected=f"the values {', '.join(f'{v} ({m})' for v, m in labels.items())}",
                found=f"the value {min(unknown)}",
                fix='Say what it means in a JSON of the same name: "labels": {"4": "fat"}.',
            )
        masks = parts_of(drawn, labels)
    return {
        part: Part(mask, _trusted(path, part, mask, told))
        for part, mask in masks.items()
        if mask.any()
    }


def read_on_grid(path: Path, scan_path: Path, scan: Volume) -> np.ndarray:
    """Labels (X, Y, Z) that were drawn on the scan.

    :raises InputError: unreadable, or on another grid.
    """
    drawn = read_labels(path)
    require_same_grid(path, drawn, scan_path.name, scan)
    return drawn.data


def _labels(path: Path, told: Mapping[str, Any]) -> dict[int, str]:
    """Value → meaning of a tissue drawing."""
    predicted = LABEL_SUFFIX[Scheme.TISSUES] in path.name
    given = told.get("labels", label_names(Scheme.TISSUES) if predicted else LABELS)
    try:
        return {int(value): str(words) for value, words in given.items()}
    except (AttributeError, ValueError):
        raise InputError(
            f"{path.name}, labels",
            expected='what each value means, such as {"1": "CSF", "2": "roots", "3": "cord"}',
            found=str(given),
            fix="Correct the JSON beside the drawing.",
        ) from None


def parts_of(drawn: np.ndarray, labels: Mapping[int, str]) -> dict[str, np.ndarray]:
    """Part → mask of a tissue map (X, Y, Z); empty where no label's words say CSF, root or cord."""
    values: dict[str, list[int]] = {"csf": [], "root": [], "cord": []}
    for value, words in labels.items():
        meant = [word for word in values if word in words.lower().replace("wm", "cord")]
        if meant:
            values[meant[0]].append(value)
    sac = [value for found in values.values() for value in found]
    return {
        ROOTS: np.isin(drawn, values["root"]),
        CORD: np.isin(drawn, values["cord"]),
        SAC: np.isin(drawn, sac if np.isin(drawn, values["csf"]).any() else []),
    }


def _trusted(path: Path, part: str, mask: np.ndarray, told: Mapping[str, Any]) -> np.ndarray:
    """(Z,) bool: the slices of `mask` (X, Y, Z) that may be scored."""
    drawn = np.flatnonzero(mask.any(axis=(0, 1)))
    key = f"{part}_trusted_z" if f"{part}_trusted_z" in told else "trusted_z"
    given = told.get(key)
    if isinstance(given, dict):
        given = given.get(part)
    if given is None:
        given = [int(drawn[0]), int(drawn[-1])]
    chosen = np.zeros(mask.shape[2], bool)
    try:
        for first, last in np.array(given, int).reshape(-1, 2).tolist():
            if not 0 <= first <= last < len(chosen):
                raise ValueError
            chosen[first : last + 1] = True
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{path.name}, {key}",
            expected=f"first and last slice, [{drawn[0]}, {drawn[-1]}] for example, from 0 to "
            f"{len(chosen) - 1}; or a list of such pairs",
            found=str(given),
            fix="Correct the JSON beside the drawing.",
        ) from None
    return chosen
