"""Which files of a folder belong together: a scan and what was drawn on it, told by their names.

A drawing is named after its scan, then what it shows, then, if one likes, who made it:
``SCAN_KIND-manual.nii.gz`` beside ``SCAN.nii.gz``. ``-`` and ``_`` are alike, case does not matter.

=============  ================================================  ==============================
kind           words                                             content
=============  ================================================  ==============================
``tissues``    tissues, tissue                                   1 CSF, 2 roots, 3 cord, or as a
                                                                 JSON of the same name says
``roots``      roots, root, nerveroots, allroots                 a mask of all roots
``sac``        sac, thecalsac, duralsac, dura, canal             a mask, roots and cord included
``cord``       cord, spinalcord, sc, seg                         a mask
``line``       centreline, centerline                            a CSV with x_mm, y_mm, z_mm
                                                                 (RAS+), or a mask
=============  ================================================  ==============================

Where two files show the same, one with ``manual`` in its name wins, then a CSV. The scan is the
file named as the drawing begins; else the one scan of the folder whose name begins so; else its
only one. Other drawings, such as rootlets of some levels, are no reference for all roots.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spinalroots.errors import InputError

TISSUES, ROOTS, SAC, CORD, LINE = "tissues", "roots", "sac", "cord", "line"
_WORDS = {
    TISSUES: ("tissues", "tissue"),
    ROOTS: ("roots", "root", "nerveroots", "allroots"),
    SAC: ("sac", "thecalsac", "duralsac", "dura", "canal"),
    CORD: ("cord", "spinalcord", "sc", "seg"),
    LINE: ("centreline", "centerline"),
}
_KIND = {word: kind for kind, words in _WORDS.items() for word in words}
_BY_HAND = {"manual", "gt"}
_NO_SCAN = {*_KIND, *_BY_HAND, "rootlets", "levels", "discs", "disc", "label", "mask", "dseg"}
_A_SCAN = {"t1", "t1w", "t2", "t2w", "t2star"}
"""Last words of names that are a scan's, whatever comes before, such as ``acq-sc_T2w``."""
_FORMATS = (".nii.gz", ".nii", ".csv")


@dataclass
class Files:
    """A scan and, by kind, the file that shows each thing that was drawn on it."""

    scan: Path
    drawings: dict[str, Path] = field(default_factory=dict)


def find(folder: Path) -> list[Files]:
    """Every scan below `folder` that something is drawn on, sorted by path.

    :raises InputError: a drawing whose scan cannot be told; no drawing at all.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.name.endswith(_FORMATS) and not path.name.startswith(".") and path.is_file():
            by_folder.setdefault(path.parent, []).append(path)
    found = [files for paths in by_folder.values() for files in group(paths)]
    if not found:
        raise InputError(
            folder,
            expected="a scan and something drawn on it, such as t2.nii.gz and "
            "t2_tissues-manual.nii.gz (or _roots-, _sac-, _cord-, _centreline-manual)",
            found=f"{sum(map(len, by_folder.values()))} images and tables, no drawing among them",
            fix="Name the drawings after their scan and what they show.",
        )
    return found


def group(paths: Sequence[Path]) -> list[Files]:
    """The scans among the files of one folder that something is drawn on.

    :raises InputError: a drawing whose scan cannot be told.
    """
    images = {_stem(path): path for path in paths if path.suffix != ".csv"}
    drawings = [(path, *meaning(path)) for path in paths]
    drawn_on = {begins for _, begins, kind in drawings if kind}
    drawings = [one for one in drawings if one[2] and _stem(one[0]) not in drawn_on]
    for path, _, _ in drawings:
        images.pop(_stem(path), None)
    found: dict[Path, Files] = {}
    for path, begins, kind in sorted(drawings, key=lambda one: _rank(one[0])):
        files = found.setdefault(scan := _scan_of(path, begins, images), Files(scan))
        files.drawings.setdefault(kind, path)
    return [found[scan] for scan in sorted(found)]


def meaning(path: Path) -> tuple[str, str]:
    """How the name of a drawing's scan begins, and the drawing's kind; "" if it is no drawing.

    >>> meaning(Path("t2_lumbar_tissues-manual.nii.gz"))
    ('t2_lumbar', 'tissues')
    >>> meaning(Path("sub-01_T2w_label-cord_mask.nii.gz"))
    ('sub-01_T2w', 'cord')
    >>> meaning(Path("t2_lumbar.nii.gz"))
    ('t2_lumbar', '')
    """
    stem = _stem(path)
    if _words(stem)[-1] in _A_SCAN:
        return stem, ""
    for match in reversed(list(re.finditer(r"[^-_.]+", stem))):
        kind = _KIND.get(match.group().lower(), "")
        if kind and (kind == LINE or path.suffix != ".csv"):
            return re.sub(r"([-_.]|[-_.](label|desc))+$", "", stem[: match.start()]), kind
    return stem, ""


def _scan_of(drawing: Path, begins: str, images: dict[str, Path]) -> Path:
    if begins in images:
        return images[begins]
    scans = {stem: path for stem, path in images.items() if _may_be_scan(_words(stem))}
    fitting = [path for stem, path in scans.items() if stem.startswith(begins)]
    for candidates in (fitting, list(scans.values())):
        if len(candidates) == 1:
            return candidates[0]
    there = ", ".join(path.name for path in scans.values()) or "none"
    raise InputError(
        drawing,
        expected=f"the scan that it was drawn on beside it ({begins}.nii.gz)",
        found=f"these scans: {there}",
        fix="Name the drawing after its scan.",
    )


def _may_be_scan(words: list[str]) -> bool:
    return words[-1] in _A_SCAN or not _NO_SCAN & set(words)


def by_hand(path: Path) -> bool:
    """Whether a name says that a person drew it."""
    return bool(_BY_HAND & set(_words(_stem(path))))


def _rank(path: Path) -> tuple[bool, bool, str]:
    return not by_hand(path), path.suffix != ".csv", path.name


def _stem(path: Path) -> str:
    return re.sub(r"(\.nii(\.gz)?|\.csv)$", "", path.name)


def _words(stem: str) -> list[str]:
    return re.split(r"[-_.]", stem.lower())
