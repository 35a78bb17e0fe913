"""Reading and judging everything before a single byte is written."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spinalroots.dataset.layout import CASE_NAME, Dataset
from spinalroots.errors import InputError
from spinalroots.files.text import read_object
from spinalroots.imaging.opening import open_image
from spinalroots.imaging.volume import Volume, read_image
from spinalroots.ingest import bids, dicom, lab
from spinalroots.ingest.assemble import CaseReport, Key, label_maps, report_of
from spinalroots.ingest.curves import add_curves
from spinalroots.ingest.found import Found, require_nifti
from spinalroots.registry.paths import INGESTED

SIDECAR = {"expected": "a case's JSON", "fix": "Restore it with dvc checkout, or mend it."}
_NUMBERED = re.compile(r"^sub-(\d+)$")
_RESERVED = re.compile(r"^sub-ph\d+$|aug\d+$")
"""Names of phantoms, and of what augmentation makes of a case."""


@dataclass(frozen=True)
class PlannedCase:
    """A scan that has been read and found good, and the name that it will get.

    `origin`: what it was called, for the person at the keyboard; it is stored nowhere.
    `subject`: case name of the first scan of the same person in this plan.
    `grid`: the scan's own grid in words; `scan_sha256`: of its voxels and geometry.
    """

    name: str
    origin: str
    subject: str
    found: Found
    grid: str
    scan_sha256: str
    report: CaseReport

    def lines(self) -> list[str]:
        """What would be done, as lines of text."""
        return [f"{self.origin} -> {self.name}: {self.grid}", *self.report.lines()]


def plan(
    sources: Path | Sequence[Path],
    root: Path = INGESTED,
    *,
    case: str | None = None,
    orientation: str | None = None,
) -> list[PlannedCase]:
    """Read and validate every scan in `sources` and its masks; nothing is written.

    :param sources: NIfTI file, lab folder, BIDS data set or DICOM folder; or several of them.
    :param case: name for the one scan in `sources`; by default the next free number.
    :param orientation: how the voxel axes of every scan and its masks really run, such as ``LAS``,
        where their headers do not say or are wrong.
    :raises ThereAlready: all scans are there already.
    :raises InputError: anything that cannot be used, and a scan that is there already.
    """
    sources = [Path(sources)] if isinstance(sources, str | Path) else [Path(s) for s in sources]
    found = [
        (source, replace(scan, orientation=orientation))
        for source in sources
        for scan in find(source)
    ]
    names = _names(len(found), Dataset(root), case)
    known = known_scans(Dataset(root))
    subjects: dict[tuple[Path, str], str] = {}
    cases, there, refused = [], dict(known), []
    for (source, scan), name in zip(found, names, strict=True):
        volume, maps, notes = read_found(scan)
        digest = scan_sha256(volume)
        if digest in known:
            refused.append(_same_scan(scan, known[digest]))
            if digest not in there:  # twice in these sources
                raise refused[-1]
            continue
        known[digest] = name
        subject = subjects.setdefault((source, scan.subject or name), name)
        report = report_of(maps, [*scan.notes, *notes])
        cases.append(
            PlannedCase(name, scan.origin, subject, scan, str(volume.native), digest, report)
        )
    if refused:
        raise ThereAlready.of(refused[0]) if not cases else refused[0]
    return cases


class ThereAlready(InputError):
    """Every scan that was named is in the data set: nothing is left to bring in."""

    @classmethod
    def of(cls, error: InputError) -> "ThereAlready":
        """The same message."""
        return cls(error.where, expected=error.expected, found=error.found, fix=error.fix)


def _same_scan(scan: Found, case: str) -> InputError:
    return InputError(
        scan.require_scan(),
        expected="a scan that is not there yet",
        found=f"the same scan as {case}",
        fix=f"To bring corrected masks in: spinalroots ingest --replace {case} MASKS.",
    )


def find(source: Path) -> list[Found]:
    """The scans in a source, files listed but not read.

    :raises InputError: no such source, or nothing usable in it.
    """
    source = Path(source)
    if source.is_dir():
        for root in (source, source / bids.RAW):
            if root.is_dir() and bids.is_bids(root):
                return bids.find_scans(root)
        return lab.find_scans(source)
    known = "a NIfTI file, a lab folder, a BIDS data set or a DICOM folder"
    require_nifti(source, expected=known, fix="Check the path; of a DICOM series give the folder.")
    return [Found(source.name, source, subject=source.name)]


def read_found(found: Found) -> tuple[Volume, dict[Key, np.ndarray], list[str]]:
    """The scan in RAS+, its label maps by (rater, scheme), and notes.

    :raises InputError: anything that cannot be used; an orientation that is told for DICOM, curves
        or segmentations, whose place in the world is given otherwise.
    """
    path = found.require_scan()
    if found.orientation is not None:
        _require_turnable(found, path)
    scan = dicom.read_series(path) if path.is_dir() else read_image(path, found.orientation)
    if np.isin(scan.data, (scan.data.min(), scan.data.max())).all():
        raise InputError(
            path,
            expected="a scan with grey values",
            found="at most two different values: a mask, or an empty image",
            fix="Give the scan; name a mask like L3_D_L, L3, roots or CSF.",
        )
    maps, notes = label_maps(found.masks, path, scan, found.orientation)
    notes = [*scan.notes, *notes]
    notes += add_curves(maps, found.curves, scan, union=True)
    return scan, dict(sorted(maps.items())), notes


def _require_turnable(found: Found, scan: Path) -> None:
    """:class:`InputError` unless scan and masks store their voxels alike, so that one word about
    their axes holds for all of them."""
    others = [*(mask.path for mask in found.masks if mask.segment), *(c.path for c in found.curves)]
    if scan.is_dir() or others:
        raise InputError(
            "--orientation",
            expected="an image file, and masks that are image files",
            found=f"DICOM, a segmentation or a curve, which say where they lie "
            f"({scan if scan.is_dir() else others[0]})",
            fix="Leave --orientation out, or bring these in afterwards with --replace.",
        )
    image = open_image(scan)
    for mask in found.masks:
        drawn = open_image(mask.path)
        if drawn.shape != image.shape or not np.allclose(drawn.affine, image.affine, atol=0.01):
            raise InputError(
                mask.path,
                expected=f"the header that {scan.name} has, wrong or not, as --orientation turns "
                "both alike",
                found="another one: its axes may run otherwise",
                fix="Save the mask on the scan's own grid, or bring it in afterwards with "
                "--replace.",
            )


def known_scans(dataset: Dataset) -> dict[str, str]:
    """Digest → case name of the scans that are there already."""
    sidecars = sorted(Path(dataset.root).glob("sub-*/anat/*_T2w.json"))
    records = [(read_object(path, **SIDECAR), path.parent.parent.name) for path in sidecars]
    return {record["scan_sha256"]: name for record, name in records if "scan_sha256" in record}


def scan_sha256(volume: Volume) -> str:
    """Digest of the voxels and the geometry (to 1e-3 mm) of a scan in RAS+."""
    digest = hashlib.sha256(np.round(volume.affine, 3).astype("<f4").tobytes())
    digest.update(repr(volume.data.shape).encode())
    digest.update(np.ascontiguousarray(volume.data, dtype="<f4").data)
    return digest.hexdigest()


def _names(count: int, dataset: Dataset, case: str | None) -> list[str]:
    """The new names: `case`, or the numbers after the highest that is taken."""
    if case is None:
        numbers = [
            int(match[1])
            for path in Path(dataset.root).glob("sub-*")
            if (match := _NUMBERED.match(path.name))
        ]
        first = max(numbers, default=0) + 1
        return [f"sub-{number:03d}" for number in range(first, first + count)]
    if not CASE_NAME.match(case) or _RESERVED.search(case) or count != 1:
        raise InputError(
            f"case {case!r}",
            expected="sub- with letters and digits (not sub-ph1, not …aug1), for one scan",
            found=f"{case!r} for {count} scan(s)",
            fix="Leave the name out, and the next free number is taken.",
        )
    if (Path(dataset.root) / case).exists():
        raise InputError(
            f"case {case}",
            expected="a name that is not taken",
            found=f"a case of that name in {dataset.root}",
            fix="Choose another name, or bring corrected masks in with --replace.",
        )
    return [case]
