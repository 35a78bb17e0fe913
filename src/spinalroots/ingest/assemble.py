"""Mask files put together to label maps on the scan's grid, each held against the others."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid
from spinalroots.ingest.found import MaskFile
from spinalroots.registry.anatomy import Scheme, label_names

Key = tuple[str, Scheme]
"""(rater, scheme); the rater is empty for the agreed masks."""


def label_maps(
    masks: tuple[MaskFile, ...], scan_path: Path, scan: Volume
) -> tuple[dict[Key, np.ndarray], list[str]]:
    """Label maps (X, Y, Z) uint8 on the scan's RAS+ grid, and notes on empty masks.

    :raises InputError: a mask on another grid, not binary, with an unknown value, or that claims a
        voxel which another mask of its scheme and rater holds.
    """
    groups: dict[Key, list[MaskFile]] = defaultdict(list)
    notes = []
    for mask in masks:
        groups[mask.meaning.rater, _scheme(mask)].append(mask)
    maps = {}
    for (rater, scheme), files in sorted(groups.items()):
        painted = np.zeros(scan.data.shape, np.uint8)
        owners: dict[int, Path] = {}
        for mask in files:
            labels = _read(mask, scheme, scan_path, scan)
            if not labels.any():
                notes.append(f"{mask.path.name} is empty")
            _paint(painted, labels, mask.path, owners, scheme)
        maps[rater, scheme] = painted
    return maps, notes


def _scheme(mask: MaskFile) -> Scheme:
    """The scheme; a file of rootlets by level that knows one value only is a mask of all roots."""
    meaning = mask.meaning
    if meaning.scheme is Scheme.LEVELS and meaning.value is None:
        values = np.unique(read_labels(mask.path).data)
        if values.tolist() in ([0, 1], [1]):
            return Scheme.ENTITY
    return meaning.scheme


def _read(mask: MaskFile, scheme: Scheme, scan_path: Path, scan: Volume) -> np.ndarray:
    """The mask with the registry's label values."""
    if mask.meaning.value is None:
        volume = read_labels(mask.path, set(label_names(scheme)))
        require_same_grid(mask.path, volume, scan_path, scan)
        return volume.data
    volume = read_labels(mask.path)
    values = [value for value in np.unique(volume.data).tolist() if value]
    if len(values) > 1:
        raise InputError(
            mask.path,
            expected="a binary mask (0, and one other value)",
            found=f"values {', '.join(map(str, values[:6]))}",
            fix="Give one file per root or level; a whole map is named levels or individuals.",
        )
    require_same_grid(mask.path, volume, scan_path, scan)
    return np.where(volume.data != 0, np.uint8(mask.meaning.value), np.uint8(0))


def _paint(
    painted: np.ndarray, labels: np.ndarray, path: Path, owners: dict[int, Path], scheme: Scheme
) -> None:
    """Add `labels` to `painted` in place; two files must not claim a voxel, nor a label twice."""
    names = label_names(scheme)
    values = [value for value in np.unique(labels).tolist() if value]
    if twice := next((value for value in values if value in owners), None):
        raise InputError(
            path,
            expected=f"one mask of {names[twice]}",
            found=f"another one in {owners[twice]}",
            fix="Keep one, or say who drew each (a sub-folder rater-A, or _desc-raterA).",
        )
    claimed = (painted != 0) & (labels != 0)
    if claimed.any():
        first = np.argwhere(claimed)[0]
        other = owners[int(painted[tuple(first)])]
        raise InputError(
            path,
            expected="every voxel in one mask only",
            found=f"{np.count_nonzero(claimed)} voxels that {other} claims too "
            f"(the first at RAS voxel {tuple(int(index) for index in first)})",
            fix="Correct the masks so that they do not overlap.",
        )
    owners.update(dict.fromkeys(values, path))
    np.maximum(painted, labels, out=painted)
