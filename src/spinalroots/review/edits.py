"""Small corrections of a label map, kept as a list of steps so that the last one can be undone.

A map is (X, Y, Z) uint8 in RAS+; its voxels are numbered with the first axis fastest, which is how
the page holds them. Steps are plain values, ready for JSON.
"""

import base64
import zlib
from collections.abc import Sequence

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.components import components
from spinalroots.predict.rename import table
from spinalroots.registry.anatomy import Scheme, label_names

SHIFTS = (-2, -1, 1, 2)


def paint(labels: np.ndarray, scheme: Scheme, voxels: Sequence[int], value: int) -> dict:
    """The step that gives `voxels` a label; 0 erases.

    :raises InputError: a voxel outside the map, or a value that the scheme has not.
    """
    numbers = np.unique(np.asarray(voxels, np.int64))
    if numbers.size == 0 or numbers[0] < 0 or numbers[-1] >= labels.size:
        raise InputError(
            "painted voxels",
            expected=f"numbers from 0 to {labels.size - 1}",
            found=f"{numbers[0]} to {numbers[-1]}" if numbers.size else "none",
            fix="Load the page again.",
        )
    return {"kind": "paint", "value": _known(scheme, value, erase=True), "voxels": _packed(numbers)}


def rename(
    labels: np.ndarray, scheme: Scheme, voxel: int, value: int, *, whole: bool = False
) -> dict:
    """The step that gives the connected thread at a voxel another name.

    :param whole: every thread of that name, connected or not.
    :raises InputError: no thread there, or a value that the scheme has not.
    """
    flat = labels.ravel(order="F")
    old = int(flat[voxel]) if 0 <= voxel < labels.size else 0
    if not old:
        raise InputError(
            "thread to rename",
            expected="a voxel of a root",
            found="background",
            fix="Put the crosshair on a root first.",
        )
    if whole:
        chosen = flat == old
    else:
        parts = components(labels == old)[0].ravel(order="F")
        chosen = parts == parts[voxel]
    numbers = np.flatnonzero(chosen)
    return {"kind": "rename", "value": _known(scheme, value), "voxels": _packed(numbers)}


def shift(labels: np.ndarray, scheme: Scheme, by: int) -> dict:
    """The step that moves all names by some levels, +1 one further down (caudal).

    :raises InputError: another step than one or two levels, or a name that would leave C1…S5.
    """
    if by not in SHIFTS:
        raise InputError(
            "shift of all names", expected="-2, -1, 1 or 2 levels", found=str(by), fix="Choose one."
        )
    names = label_names(scheme)
    present = np.unique(labels)
    lost = [names[value] for value in present[present > 0].tolist() if not table(scheme, by)[value]]
    if lost:
        raise InputError(
            "shift of all names",
            expected=f"names that stay within the spine when moved by {by:+d}",
            found=f"{', '.join(lost)}, which would leave it",
            fix="Erase or rename these first, or move the other way.",
        )
    return {"kind": "shift", "by": by}


def applied(labels: np.ndarray, scheme: Scheme, steps: Sequence[dict]) -> np.ndarray:
    """The map after all steps, in their order (a new array)."""
    flat = labels.ravel(order="F").copy()
    for step in steps:
        if step["kind"] == "shift":
            flat = table(scheme, step["by"])[flat]
        else:
            flat[_unpacked(step["voxels"])] = step["value"]
    return flat.reshape(labels.shape, order="F")


def difference(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (N,) of the voxels that differ, and their labels (N,) afterwards."""
    old, new = before.ravel(order="F"), after.ravel(order="F")
    voxels = np.flatnonzero(old != new)
    return voxels, new[voxels]


def _known(scheme: Scheme, value: int, *, erase: bool = False) -> int:
    if value in label_names(scheme) or (erase and value == 0):
        return value
    raise InputError(
        "label",
        expected=f"a value of the scheme {scheme}",
        found=str(value),
        fix="Choose a root of the list.",
    )


def _packed(numbers: np.ndarray) -> str:
    """Rising voxel numbers as text; their steps are small and compress well."""
    steps = np.diff(numbers, prepend=0).astype("<i8")
    return base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode("ascii")


def _unpacked(text: str) -> np.ndarray:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8")
    return np.cumsum(steps)
