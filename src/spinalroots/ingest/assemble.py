"""Mask files put together to label maps on the scan's grid, and a report of what a case has."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid
from spinalroots.ingest.found import MaskFile
from spinalroots.ingest.segments import read_segment
from spinalroots.registry.anatomy import REFINED_LEVELS, REFINED_ROOTS, TISSUES, Scheme, label_names

Key = tuple[str, Scheme]
"""(rater, scheme); the rater is empty for the agreed masks."""


def label_maps(
    masks: tuple[MaskFile, ...], scan_path: Path, scan: Volume, orientation: str | None = None
) -> tuple[dict[Key, np.ndarray], list[str]]:
    """Label maps (X, Y, Z) uint8 on the scan's RAS+ grid, and notes on empty masks.

    :param orientation: how the voxel axes really run, as it was told for the scan.
    :raises InputError: a mask on another grid, not binary, with an unknown value, or that claims a
        voxel which another mask of its scheme and rater holds.
    """
    maps: dict[Key, np.ndarray] = {}
    owners: dict[Key, dict[int, Path]] = defaultdict(dict)
    notes = []
    for mask in masks:
        scheme, labels = _read(mask, scan_path, scan, orientation)
        key = mask.meaning.rater, scheme
        if not labels.any():
            notes.append(f"{mask.path.name} is empty")
        painted = maps.setdefault(key, np.zeros(scan.data.shape, np.uint8))
        _paint(painted, labels, mask.path, owners[key], scheme)
    return dict(sorted(maps.items())), notes


def _read(
    mask: MaskFile, scan_path: Path, scan: Volume, orientation: str | None
) -> tuple[Scheme, np.ndarray]:
    """The mask with the registry's label values, and their scheme.

    A file of rootlets by level that knows one value only is a mask of all roots.
    """
    scheme, value = mask.meaning.scheme, mask.meaning.value
    if mask.segment:
        drawn = read_segment(mask.path, mask.segment, scan_path, scan).data
        return scheme, np.where(drawn != 0, np.uint8(value or 1), np.uint8(0))
    allowed = set(label_names(scheme)) if value is None else None
    volume = read_labels(mask.path, allowed, orientation)
    values = [found for found in np.unique(volume.data).tolist() if found]
    if value is not None and len(values) > 1:
        raise InputError(
            mask.path,
            expected="a binary mask (0, and one other value)",
            found=f"values {', '.join(map(str, values[:6]))}",
            fix="Give one file per root or level; a whole map is named levels or individuals.",
        )
    require_same_grid(mask.path, volume, scan_path, scan)
    if value is None:
        return (Scheme.ENTITY if (scheme, values) == (Scheme.LEVELS, [1]) else scheme), volume.data
    return scheme, np.where(volume.data != 0, np.uint8(value), np.uint8(0))


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


@dataclass(frozen=True)
class CaseReport:
    """What is there and what is missing.

    `present`: scheme (and rater) → names of its labels; `missing`: sentences; `notes`: what was
    seen on the way. Notes may hold the source's file names, so they are shown and never stored.
    """

    present: dict[str, list[str]]
    missing: list[str]
    notes: list[str]

    def lines(self) -> list[str]:
        """The report as lines of text."""
        shown = [
            f"has {title}: {_shorten(names)}" if names else f"has {title}, but empty"
            for title, names in self.present.items()
        ]
        lacking = [f"lacks {sentence}" for sentence in self.missing]
        return shown + lacking + [f"note: {note}" for note in self.notes]


def report_of(maps: dict[Key, np.ndarray], notes: list[str]) -> CaseReport:
    """The report of a case's label maps, (rater, scheme) → (X, Y, Z)."""
    present = {}
    union: dict[Scheme, set[str]] = {scheme: set() for scheme in Scheme}
    for (rater, scheme), labels in maps.items():
        table = label_names(scheme)
        names = [table[value] for value in np.unique(labels).tolist() if value]
        present[f"{scheme} (rater {rater})" if rater else str(scheme)] = names
        union[scheme].update(names)
    return CaseReport(present, _missing(union), list(notes))


def _missing(union: dict[Scheme, set[str]]) -> list[str]:
    missing = []
    if not union[Scheme.ENTITY]:
        missing.append("a mask of all roots: refinement has nothing to grow the labels into")
    if not union[Scheme.INDIVIDUALS]:
        missing.append("individual roots")
    elif absent := [
        str(root) for root in REFINED_ROOTS if str(root) not in union[Scheme.INDIVIDUALS]
    ]:
        missing.append(f"individual roots {_shorten(absent)}")
    levels = union[Scheme.LEVELS] | {name.split("_")[0] for name in union[Scheme.INDIVIDUALS]}
    if not levels:
        missing.append("levels: the scan can be predicted, but neither trained nor tested on")
    elif absent := [level for level in REFINED_LEVELS if level not in levels]:
        missing.append(f"levels {_shorten(absent)}")
    if absent := [tissue for tissue in TISSUES[:3] if tissue not in union[Scheme.TISSUES]]:
        missing.append(f"tissues {', '.join(absent)}")
    return missing


def _shorten(names: list[str], most: int = 24) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} … ({len(names)} in all)" if len(names) > most else shown
