"""What a source holds, before anything is read: scans, and files that claim to be their masks."""

from dataclasses import dataclass
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.ingest.names import Meaning, is_nifti, unknown_name


@dataclass(frozen=True)
class MaskFile:
    """A mask file and what its name says; `segment` is the name of one in a file of many."""

    path: Path
    meaning: Meaning
    segment: str = ""


@dataclass(frozen=True)
class Found:
    """A scan in a source.

    `scan`: a NIfTI file, or the folder of one DICOM series; None if there are masks only.
    `origin`: how a person knows the scan, for messages only, never stored.
    `curves`: roots that are kept as 3D Slicer's curves.
    `subject`: what tells that two scans are of one person, for the split; never stored either.
    `orientation`: how the voxel axes of scan and masks really run, such as ``LAS``, if a person
    says so against their headers.
    """

    origin: str
    scan: Path | None
    masks: tuple[MaskFile, ...] = ()
    subject: str = ""
    notes: tuple[str, ...] = ()
    curves: tuple[MaskFile, ...] = ()
    orientation: str | None = None

    def require_scan(self) -> Path:
        """The scan, or the error that there is none."""
        if self.scan is None:
            raise InputError(
                self.origin,
                expected="the scan beside its masks (image.nii.gz, …_T2w.nii.gz or a DICOM series)",
                found="masks only" if self.masks else "no scan",
                fix="Add the scan; for corrected masks of a case that is there, use --replace.",
            )
        return self.scan


def require_nifti(path: Path, *, expected: str, fix: str) -> None:
    """:class:`InputError` unless `path` is a NIfTI file by its name."""
    if not path.is_file() or not is_nifti(path):
        found = "another file" if path.is_file() else "no such file or folder"
        raise InputError(path, expected=expected, found=found, fix=fix)


def visible(folder: Path) -> list[Path]:
    """Entries of a folder, sorted; hidden ones are left out, unless they claim to be NIfTI files.

    A file may be a link to a file: that is how git-annex and DataLad keep scans.

    :raises InputError: what would silently be lost: a hidden NIfTI file, or one that is a link to
        nowhere; a folder that is a link, which may lead anywhere or in a circle.
    """
    entries = []
    for path in sorted(Path(folder).iterdir()):
        require_no_link(path)
        if is_nifti(path) and not path.is_file() and not path.is_dir():
            raise InputError(
                path,
                expected="a NIfTI file",
                found="a link to nothing" if path.is_symlink() else "no regular file",
                fix="Fetch the file itself (git annex get, datalad get), or take the link away.",
            )
        if not path.name.startswith("."):
            entries.append(path)
        elif is_nifti(path) and path.is_file():
            raise unknown_name(path)
    return entries


def require_no_link(path: Path) -> None:
    """:class:`InputError` if `path` is a link to a folder."""
    if path.is_symlink() and path.is_dir():
        raise InputError(
            path, expected="a folder", found="a link to one", fix="Give the folder itself."
        )
