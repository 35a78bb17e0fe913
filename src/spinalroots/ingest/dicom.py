"""A DICOM series as a volume: voxels and geometry only, no word of the header goes further."""

from pathlib import Path

import numpy as np
from nibabel.affines import from_matvec

from spinalroots.errors import InputError
from spinalroots.imaging.volume import Volume, to_ras

SLICE_GAP_TOLERANCE_MM = 0.05
"""Slices are evenly spaced when no gap differs more than this from the median gap."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_POSITION, _ORIENTATION, _ROWS, _COLUMNS = "0020|0032", "0020|0037", "0028|0010", "0028|0011"


def has_dicom(folder: Path) -> bool:
    """Whether a file in the folder itself starts like a DICOM file (`DICM` at byte 128)."""
    return any(_is_dicom(path) for path in sorted(Path(folder).iterdir()) if path.is_file())


def read_series(folder: Path) -> Volume:
    """The one series in `folder` as float32 in RAS+, its native grid remembered.

    :raises InputError: none or several series, a slice missing or twice, slices of different
        shape or direction, colour or unreadable data.
    """
    files = _files_of_one_series(folder)
    headers = [_header(path) for path in files]
    _require_one_stack(folder, headers)
    if len(files) < 2:
        raise InputError(
            folder,
            expected="one file per slice",
            found=f"{len(files)} file",
            fix="Give the folder with all slices of the series.",
        )
    return to_ras(*_read(folder, files))


def _files_of_one_series(folder: Path) -> list[str]:
    import SimpleITK as sitk

    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise InputError(
            folder,
            expected="a DICOM series",
            found="no readable series",
            fix="Give the folder that holds the slices.",
        )
    if len(series) > 1:
        raise InputError(
            folder,
            expected="one DICOM series in a folder",
            found=f"{len(series)} mixed series",
            fix="Put each series into a sub-folder of its own, and leave out localisers.",
        )
    return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0]))


def _header(path: str) -> dict[str, str]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    wanted = (_POSITION, _ORIENTATION, _ROWS, _COLUMNS)
    return {key: reader.GetMetaData(key) for key in wanted if reader.HasMetaDataKey(key)}


def _require_one_stack(folder: Path, headers: list[dict[str, str]]) -> None:
    """All slices parallel, of one shape and evenly spaced."""
    if any(_POSITION not in header or _ORIENTATION not in header for header in headers):
        raise InputError(
            folder,
            expected="slices with a position and an orientation",
            found="slices without",
            fix="Export the series again from the scanner or the archive.",
        )
    directions = np.array([_numbers(header[_ORIENTATION]) for header in headers])
    shapes = {(header.get(_ROWS), header.get(_COLUMNS)) for header in headers}
    if np.abs(directions - directions[0]).max() > 1e-3 or len(shapes) > 1:
        raise InputError(
            folder,
            expected="parallel slices of one shape",
            found="mixed series: slices of different direction or shape",
            fix="Put each series into a sub-folder of its own, and leave out localisers.",
        )
    normal = np.cross(directions[0, :3], directions[0, 3:])
    heights = np.sort([_numbers(header[_POSITION]) @ normal for header in headers])
    gaps = np.diff(heights)
    if len(gaps) and np.abs(gaps - np.median(gaps)).max() > SLICE_GAP_TOLERANCE_MM:
        raise InputError(
            folder,
            expected=f"evenly spaced slices ({np.median(gaps):.3g} mm)",
            found=f"gaps from {gaps.min():.3g} to {gaps.max():.3g} mm: a slice is missing or twice",
            fix="Copy the whole series again.",
        )


def _read(folder: Path, files: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (X, Y, Z) float32 and the affine to RAS+ mm."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(folder) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            folder,
            expected="one grey value per voxel",
            found="colour or multi-frame data",
            fix="Export the original series.",
        )
    data = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    direction = np.reshape(image.GetDirection(), (3, 3))
    return data, _LPS_TO_RAS @ from_matvec(direction * image.GetSpacing(), image.GetOrigin())


def _numbers(text: str) -> np.ndarray:
    return np.array([float(part) for part in text.split("\\")])


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _unreadable(where: Path | str) -> InputError:
    return InputError(
        where,
        expected="complete DICOM files",
        found="a truncated or damaged one",
        fix="Copy or export the series again.",
    )
