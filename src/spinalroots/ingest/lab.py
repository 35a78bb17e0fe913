"""Scans as labs keep them: a folder per scan, an image and a binary mask per root, level or tissue.

    patient-7/image.nii.gz          or a DICOM series, here or in one sub-folder
    patient-7/L3_D_L.nii.gz         one root        patient-7/roots.nii.gz   all roots
    patient-7/L3.nii.gz             one level       patient-7/CSF.nii.gz     a tissue: WM, CSF, fat
    patient-7/rater-B/L3_D_L.nii.gz another person's masks
    patient-7/p7_nerveroots_L3_D_L.mrk.json   a root as 3D Slicer's curve

Masks may lie in sub-folders of any name; a sub-folder named `rater-B` says who drew them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spinalroots.dataset.annotations import maps, read_map
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import files_together
from spinalroots.imaging.volume import read_image, write_volume
from spinalroots.ingest.curves import curve_meaning, is_curve
from spinalroots.ingest.dicom import has_dicom
from spinalroots.ingest.found import Found, MaskFile, visible
from spinalroots.ingest.names import (
    ITK_FORMATS,
    OTHER_FORMATS,
    is_aside,
    is_nifti,
    looks_like_scan,
    meaning_of,
    rater_of,
    require_own_values,
    shared_prefix,
    stem_of,
    unknown_name,
)
from spinalroots.ingest.segments import is_dicom_segmentation, segment_names
from spinalroots.registry.anatomy import label_names


def find_scans(folder: Path) -> list[Found]:
    """The scans in `folder`: itself if it is a scan's folder, else one in every sub-folder.

    :raises InputError: nothing to read, or a name that is neither a scan nor a mask.
    """
    if _is_scan_folder(folder):
        return [read_folder(folder)]
    filled = (path for path in _subfolders(folder) if _holds_something(path))
    found = [scan for path in filled for scan in find_scans(path)]
    if not found:
        raise InputError(
            folder,
            expected="NIfTI files or a DICOM series",
            found="none",
            fix="Give the folder of a scan, of several scans, or a BIDS data set.",
        )
    return found


def read_folder(folder: Path) -> Found:
    """The scan and the masks of one scan's folder; `scan` is None if there are masks only.

    :raises InputError: two scans, or a name that is neither a scan nor a mask.
    """
    files = _nifti_files(folder)
    scan = _pick_scan(folder, files)
    beside = stem_of(scan) if scan is not None and scan.is_file() else ""
    masks, notes = [], []
    for path in files:
        if path == scan:
            continue
        drawer = _rater_of_folder(path.parent.relative_to(folder))
        if segments := segment_masks(path, drawer):
            masks += segments
            continue
        named = _as_nifti(path)
        meaning = meaning_of(named, shared_prefix(beside, stem_of(named)))
        if meaning is not None:
            require_own_values(path, meaning)
            rater = meaning.rater or drawer
            masks.append(MaskFile(path, replace(meaning, rater=rater)))
        elif is_aside(path):
            notes.append(f"{path.name} is not used")
        elif looks_like_scan(path) and path.parent != folder:
            raise InputError(
                path,
                expected=f"masks only, as {folder} holds NIfTI or DICOM files and so is a scan's "
                "own folder",
                found=f"the name {path.name!r}, a scan's",
                fix="Give every scan a folder of its own, and leave no NIfTI or DICOM file beside "
                "these folders.",
            )
        else:
            raise unknown_name(path)
    curves = tuple(
        MaskFile(path, curve_meaning(path, _rater_of_folder(path.parent.relative_to(folder))))
        for path in _curve_files(folder)
    )
    return Found(folder.name, scan, tuple(masks), folder.name, tuple(notes), curves)


def _is_scan_folder(folder: Path) -> bool:
    """Files lie here, or only in sub-folders that belong to one scan (raters', masks')."""
    if _has_series(folder) or any(is_nifti(path) for path in visible(folder) if path.is_file()):
        return True
    return any(rater_of(path.name) for path in _subfolders(folder))


def segment_masks(path: Path, rater: str = "") -> list[MaskFile]:
    """A mask for each segment of 3D Slicer's `.seg.nrrd` or of DICOM-SEG; none for another file.

    :raises InputError: a segment whose name says no root, level or tissue, or two of one name.
    """
    masks: list[MaskFile] = []
    for name in segment_names(path):
        meaning = meaning_of(Path(name.replace("/", " ") + ".nii.gz"))
        named = meaning is not None and meaning.value is not None
        if meaning is None or not named or any(name == mask.segment for mask in masks):
            raise InputError(
                path,
                expected="segments named roots, LEVEL (L3), LEVEL_TYPE_SIDE (L3_D_L), WM, CSF or "
                "fat, each once",
                found=f"a segment {name!r}" + (" twice" if named else ""),
                fix="Rename or remove it in the program that it was drawn with.",
            )
        masks.append(MaskFile(path, replace(meaning, rater=meaning.rater or rater), name))
    return masks


def _has_series(folder: Path) -> bool:
    """Whether DICOM files that are no segmentation lie in the folder itself."""
    return has_dicom(folder) and not all(
        is_dicom_segmentation(path)
        for path in visible(folder)
        if path.is_file()
        and not is_nifti(path)
        and path.suffix.lower() not in OTHER_FORMATS | ITK_FORMATS
    )


def _holds_something(folder: Path) -> bool:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return any(is_nifti(path) for path in files) or any(
        has_dicom(parent) for parent in {path.parent for path in files}
    )


def _nifti_files(folder: Path) -> list[Path]:
    """NIfTI files of the folder and its sub-folders, those of the folder itself first.

    :raises InputError: a mask in another format, which would silently be lost.
    """
    entries = visible(folder)
    for path in entries:
        if path.suffix.lower() in OTHER_FORMATS and meaning_of(path.with_suffix(".nii")):
            raise InputError(
                path,
                expected="masks as NIfTI, NRRD or MetaImage files",
                found=f"a mask as {path.suffix}",
                fix="Save it as NIfTI: 3D Slicer, ITK-SNAP and SimpleITK all can.",
            )
    files = [path for path in entries if path.is_file() and _may_be_mask(path)]
    for subfolder in (path for path in entries if path.is_dir()):
        files += _nifti_files(subfolder)
    return files


def _curve_files(folder: Path) -> list[Path]:
    """3D Slicer's curves in the folder and its sub-folders, those of the folder itself first."""
    entries = visible(folder)
    files = [path for path in entries if path.is_file() and is_curve(path)]
    for subfolder in (path for path in entries if path.is_dir()):
        files += _curve_files(subfolder)
    return files


def _may_be_mask(path: Path) -> bool:
    """A NIfTI file, whose name is judged later; a segmentation; a mask's name in ITK's formats."""
    if is_nifti(path) or segment_names(path):
        return True
    return path.suffix.lower() in ITK_FORMATS and meaning_of(_as_nifti(path)) is not None


def _as_nifti(path: Path) -> Path:
    """The name that the file would have as NIfTI, by which names are read."""
    return path.with_suffix(".nii") if path.suffix.lower() in ITK_FORMATS else path


def _pick_scan(folder: Path, files: list[Path]) -> Path | None:
    """The DICOM series, or the file that no mask's name fits; None if there are masks only."""
    series = [path for path in (folder, *_subfolders(folder)) if _has_series(path)]
    if len(series) > 1:
        raise InputError(
            folder,
            expected="one scan in a scan's folder",
            found=f"DICOM files in {len(series)} folders beside NIfTI files",
            fix="Give every scan a folder of its own.",
        )
    if series:
        return series[0]
    candidates = _candidates([path for path in files if path.parent == folder and is_nifti(path)])
    if len(candidates) > 1:
        raise InputError(
            folder,
            expected="one scan in a scan's folder, and masks with known names",
            found=", ".join(path.name for path in candidates),
            fix="Give every scan a folder of its own; name masks like L3_D_L, L3, roots or CSF.",
        )
    return candidates[0] if candidates else None


def _candidates(files: list[Path]) -> list[Path]:
    """Files that may be the scan: best those named like one, at worst a nearly valid mask's name
    with a scan's word in it, such as `S12_image` of patient S12."""
    unnamed, nearly = [], []
    for path in files:
        try:
            if meaning_of(path) is None and not is_aside(path):
                unnamed.append(path)
        except InputError:
            if looks_like_scan(path):
                nearly.append(path)
    return [path for path in unnamed if looks_like_scan(path)] or unnamed or nearly


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir()]


def _rater_of_folder(between: Path) -> str:
    """The rater that the innermost of these folders names; empty if none does."""
    return next((rater for part in reversed(between.parts) if (rater := rater_of(part))), "")


def export_case(dataset: Dataset, case: str, folder: Path) -> Path:
    """Write `folder`/image.nii.gz, L3_D_L.nii.gz, L3.nii.gz, roots.nii.gz, CSF.nii.gz, …

    Everything lies on the scan's own grid; several raters get a sub-folder each. `spinalroots
    ingest` reads the folder back voxel for voxel.

    :returns: the folder.
    :raises InputError: the case has no scan, or `folder` is there already.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(
            folder, expected="a new folder", found="one that exists", fix="Choose another."
        )
    if not dataset.image(case).is_file():
        known = sorted(path.name for path in Path(dataset.root).glob("sub-*"))
        raise InputError(
            f"case {case!r}",
            expected=f"a case in {dataset.root}",
            found=f"none of that name (there: {', '.join(known) or 'none'})",
            fix="Give one of these, or another folder with --root.",
        )
    scan = read_image(dataset.image(case))
    with files_together(folder, of=None) as staging:
        write_volume(staging / "image.nii.gz", scan, native=scan.native)
        for entry in maps(dataset, case):
            labels = read_map(dataset, case, entry, scan).data
            target = staging / f"rater-{entry.rater}" if entry.rater else staging
            for value in np.unique(labels[labels > 0]).tolist():
                mask = scan.with_data((labels == value).astype(np.uint8))
                name = label_names(entry.scheme)[value]
                write_volume(target / f"{name}.nii.gz", mask, native=scan.native)
    return folder
