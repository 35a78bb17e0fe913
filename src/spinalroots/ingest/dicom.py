"""A DICOM series as a volume: voxels and geometry only, no word of the header goes further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.limits import require_bytes, require_volume
from spinalroots.imaging.opening import LPS_TO_RAS
from spinalroots.imaging.placement import Place
from spinalroots.imaging.volume import Volume, as_scan
from spinalroots.ingest.dicom_stacks import Slice, Stack, is_dicom, stacks_of, told

OFF_MM = 0.1
"""Slices are one even stack when none lies further than this from its place in it: scanners write
positions that jitter by a few hundredths."""
SAME_SPACING = 1e-3
"""Pixel spacings are equal when they differ by less than this share."""


@dataclass(frozen=True)
class Series:
    """A scan and the slices that it was read from, in the order of its native third axis."""

    scan: Volume
    slices: tuple[Slice, ...]


def has_dicom(folder: Path) -> bool:
    """Whether a file in the folder itself is DICOM."""
    return any(is_dicom(path) for path in sorted(Path(folder).iterdir()) if path.is_file())


def stacks_below(folder: Path) -> list[Stack]:
    """All stacks of a folder and its sub-folders, such as a patient's CD."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return stacks_of(path for path in files if is_dicom(path))


def read_series(folder: Path) -> Volume:
    """The one scan in `folder` as float32 in RAS+, its native grid remembered.

    Localisers and what is no MR image are passed over if there is one scan beside them.

    :raises InputError: none or several scans (they are listed), a slice missing or twice, slices of
        another shape, direction or spacing or beside the others, colour or unreadable data.
    """
    folder = Path(folder)
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom(path)]
    stacks = stacks_of(files)
    if not stacks:
        raise InputError(
            folder,
            expected="a DICOM series",
            found="no readable series",
            fix="Give the folder that holds the slices.",
        )
    scans = [stack for stack in stacks if not stack.left_out]
    if not scans and len(stacks) == 1:
        scans = stacks
    if len(scans) != 1:
        listed = "; ".join(stack.words for stack in stacks)
        raise InputError(
            folder,
            expected="one DICOM series in a folder",
            found=f"{len(stacks)} mixed series: {listed}",
            fix="Put each series, or each echo, into a sub-folder of its own, and leave out "
            "localisers.",
        )
    return read_stack(scans[0], folder).scan


def read_stack(stack: Stack, where: Path | None = None) -> Series:
    """The scan of a stack.

    :param where: what an error calls it.
    :raises InputError: as :func:`read_series`.
    """
    where = where or stack.files[0].parent
    slices = _in_order(where, stack.slices)
    if len(slices) < 2:
        raise InputError(
            where,
            expected="all slices of a scan, a file each or enhanced",
            found=f"{len(slices)} slice",
            fix="Give the folder with all slices of the series.",
        )
    first, step = slices[0], (slices[-1].position - slices[0].position) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3, 0] = first.directions[:3] * first.spacing[1]
    affine[:3, 1] = first.directions[3:] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    data = _pixels(where, slices)
    return Series(as_scan(where, data, Place(LPS_TO_RAS @ affine)), tuple(slices))


def _in_order(where: Path, slices: Sequence[Slice]) -> list[Slice]:
    """Slices from the first to the last along their normal: parallel, alike, evenly spaced."""
    first = slices[0]
    for one in slices:
        turned = np.abs(one.directions - first.directions).max() > 1e-3
        if turned or one.shape != first.shape:
            raise InputError(
                where,
                expected="parallel slices of one shape",
                found="mixed series: slices of different direction or shape, such as "
                f"{first.name} and {one.name}",
                fix="Put each series into a sub-folder of its own, and leave out localisers.",
            )
        if not np.allclose(one.spacing, first.spacing, rtol=SAME_SPACING):
            raise _odd(
                one,
                f"pixels of {_millimetres(first.spacing)} as in {first.name}",
                f"pixels of {_millimetres(one.spacing)}",
            )
    ordered = sorted(slices, key=lambda one: one.height)
    heights = np.array([one.height for one in ordered])
    gaps = np.diff(heights)
    if not len(gaps):
        return ordered
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() > min(2 * OFF_MM, 0.5 * usual):
        raise InputError(
            where,
            expected=f"evenly spaced slices ({usual:.3g} mm)",
            found=f"gaps from {gaps.min():.3g} to {gaps.max():.3g} mm: a slice is missing or twice",
            fix="Copy the whole series again.",
        )
    places = np.array([one.position for one in ordered])
    aside = places - places[0] - np.outer(heights - heights[0], first.normal)
    off_mm = np.linalg.norm(aside, axis=1)
    if off_mm.max() > OFF_MM:
        index = int(np.argmax(off_mm > OFF_MM))
        raise _odd(
            ordered[index],
            "slices straight above one another",
            f"one {off_mm[index]:.3g} mm beside the first",
        )
    return ordered


def _odd(one: Slice, expected: str, found: str) -> InputError:
    fix = "Resample the series to a straight stack first (dcm2niix does), and give the NIfTI file."
    return InputError(one.name, expected=expected, found=found, fix=fix)


def _millimetres(spacing: tuple[float, float]) -> str:
    return " × ".join(f"{value:.4g}" for value in spacing) + " mm"


def _pixels(where: Path, slices: Sequence[Slice]) -> np.ndarray:
    """Grey values (columns, rows, slices) float32, scaled as the headers say."""
    _require_there(where, slices)
    if any(one.frame is not None for one in slices):
        frames = {path: _frames(path) for path in dict.fromkeys(one.path for one in slices)}
        planes = [frames[one.path][one.frame or 0] for one in slices]
        return np.stack(planes, axis=-1).swapaxes(0, 1).astype(np.float32)
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.GlobalWarningDisplayOff()
    reader.SetFileNames([str(one.path) for one in slices])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        planes = [_plane(one.path) for one in slices]  # ITK insists on a preamble
        if len({plane.shape for plane in planes}) != 1:
            raise _unreadable(where) from error
        return np.stack(planes, axis=-1).swapaxes(0, 1).astype(np.float32)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise _colour(where)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)


def _require_there(where: Path, slices: Sequence[Slice]) -> None:
    """:class:`InputError` if the headers claim too many voxels, or more than the files can hold."""
    (rows, columns), files = slices[0].shape, {one.path for one in slices}
    require_volume(where, (columns, rows, len(slices)))
    size = float(sum(path.stat().st_size for path in files))
    require_bytes(where, float(rows) * columns * len(slices), size, packed=True)


def _plane(path: Path) -> np.ndarray:
    """Grey values (rows, columns) of a file of one slice, not compressed."""
    import pydicom

    with told(path):
        dataset = pydicom.dcmread(path, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        if int(dataset.get("SamplesPerPixel", 1)) != 1:
            raise _colour(path)
        return dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(
            dataset.get("RescaleIntercept", 0)
        )


def _frames(path: Path) -> np.ndarray:
    """Frames (N, rows, columns) of an enhanced file, each with its own scale."""
    import pydicom

    with told(path):
        dataset = pydicom.dcmread(path, force=True)
        if int(dataset.get("SamplesPerPixel", 1)) != 1:
            raise _colour(path)
        count = len(dataset.PerFrameFunctionalGroupsSequence)
        if int(dataset.get("NumberOfFrames", 1)) != count:
            raise ValueError(f"{dataset.NumberOfFrames} frames and {count} descriptions")
        scales = [_scale(dataset, frame) for frame in range(count)]
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            return _unpacked(path)
        stored = dataset.pixel_array
        stored = stored.reshape(len(scales), *stored.shape[-2:])
        return np.stack(
            [frame * slope + start for frame, (slope, start) in zip(stored, scales, strict=True)]
        )


def _scale(dataset, frame: int) -> tuple[float, float]:
    for groups in (
        dataset.PerFrameFunctionalGroupsSequence[frame],
        *(dataset.get("SharedFunctionalGroupsSequence") or []),
    ):
        for item in groups.get("PixelValueTransformationSequence") or []:
            return float(item.RescaleSlope), float(item.RescaleIntercept)
    return 1.0, 0.0


def _unpacked(path: Path) -> np.ndarray:
    """A compressed enhanced file through ITK, which scales all its frames alike."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _colour(where: Path) -> InputError:
    return InputError(
        where,
        expected="one grey value per voxel",
        found="colour data",
        fix="Export the original series.",
    )


def _unreadable(where: Path | str) -> InputError:
    return InputError(
        where,
        expected="complete DICOM files",
        found="a truncated or damaged one",
        fix="Copy or export the series again.",
    )
