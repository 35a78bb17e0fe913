"""A BIDS data set: T2w scans, and masks in its derivatives, the Spinal Cord Toolbox's too."""

from collections import defaultdict
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.ingest.found import Found, MaskFile, require_no_link
from spinalroots.ingest.names import (
    Meaning,
    is_aside,
    is_nifti,
    meaning_of,
    stem_of,
    word_set,
    words_of,
)
from spinalroots.registry.anatomy import Scheme

RAW = "rawdata"
"""Where some keep the data set itself, beside what was derived from it."""
_OTHER_CONTRASTS = word_set("t1w t2star dwi unit1 mts mton mtoff pdw bold stir megre")


def is_bids(folder: Path) -> bool:
    """Whether the folder is a BIDS data set: described as one, or with sub-*/…/anat folders."""
    return (folder / "dataset_description.json").is_file() or any(t2w_scans(folder))


def find_scans(root: Path) -> list[Found]:
    """Every `sub-*[/ses-*]/anat/*_T2w.nii[.gz]` with the masks in `derivatives/` named after it.

    A derivative that is no root, level or tissue mask is left out with a note.

    :raises InputError: no T2w scan; a label that nearly is a root's or a level's; a folder that is
        a link, behind which masks would silently be lost.
    """
    for folder in (*root.glob("sub-*"), root / "derivatives"):
        for path in (folder, *folder.rglob("*")):
            require_no_link(path)
    scans = t2w_scans(root)
    if not scans:
        raise InputError(
            root,
            expected="T2-weighted scans (sub-*/anat/*_T2w.nii.gz)",
            found="none",
            fix="Check that the folder is the data set's root.",
        )
    bases = {_base(scan): scan for scan in scans}
    masks: dict[Path, list[MaskFile]] = defaultdict(list)
    notes: dict[Path, list[str]] = defaultdict(list)
    for path in sorted((root / "derivatives").rglob("sub-*.nii*")):
        if not is_nifti(path):
            continue
        scan = _scan_of(path, bases)
        if scan is None:
            _require_unneeded(path, scans)
            continue
        meaning = _meaning(path, _base(scan))
        if meaning is None:
            notes[scan].append(f"{path.relative_to(root)} is not used")
        else:
            masks[scan].append(MaskFile(path, meaning))
    return [
        Found(
            stem_of(scan), scan, tuple(masks[scan]), _base(scan).split("_")[0], tuple(notes[scan])
        )
        for scan in scans
    ]


def t2w_scans(root: Path) -> list[Path]:
    """The T2w scans of a data set, sorted."""
    patterns = ("sub-*/anat/*_T2w.nii*", "sub-*/ses-*/anat/*_T2w.nii*")
    found = [path for pattern in patterns for path in root.glob(pattern) if is_nifti(path)]
    return sorted(path for path in found if path.name.startswith("sub-"))


def _base(scan: Path) -> str:
    """The entities that a scan's masks share: its name without `_T2w`."""
    return stem_of(scan).removesuffix("_T2w")


def _scan_of(path: Path, bases: dict[str, Path]) -> Path | None:
    """The scan whose entities are the longest beginning of the mask's name."""
    stem = stem_of(path)
    fitting = [base for base in bases if stem == base or stem.startswith(f"{base}_")]
    return bases[max(fitting, key=len)] if fitting else None


def _require_unneeded(path: Path, scans: list[Path]) -> None:
    """:class:`InputError` for a root mask of a subject without any T2w scan."""
    subject = stem_of(path).split("_")[0]
    known = {stem_of(scan).split("_")[0] for scan in scans}
    if subject not in known and "_label-" in path.name and meaning_of(path, subject) is not None:
        raise InputError(
            path,
            expected=f"a scan {subject}_T2w.nii.gz that the mask belongs to",
            found="none",
            fix="Add the scan, or leave the mask out.",
        )


def _meaning(path: Path, base: str) -> Meaning | None:
    rest = stem_of(path).removeprefix(base).strip("_")
    if rest in ("T2w_seg", "T2w_seg-manual"):  # the Spinal Cord Toolbox's name for the cord
        return Meaning(Scheme.TISSUES, 1)
    if set(words_of(rest)) & _OTHER_CONTRASTS or is_aside(path):
        return None
    return meaning_of(path, base)
