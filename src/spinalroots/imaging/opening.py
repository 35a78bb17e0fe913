"""Any image file → its voxels as stored, told by content and not by name.

NIfTI-1 and -2 (packed or not, whatever the name says), Analyze, MGH/MGZ through nibabel; NRRD and
MetaImage through SimpleITK (:mod:`spinalroots.imaging.itk_files`). A header is believed no further
than its file reaches: what it claims is compared with what is there before memory is taken.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.fileholders import FileHolder

from spinalroots.errors import InputError, require_file
from spinalroots.imaging.limits import MAX_VOXELS, require_bytes, require_volume

if TYPE_CHECKING:
    import SimpleITK as sitk

MAX_EXTENSIONS = 2**26
"""Bytes between the header and the voxels: comments and the like."""
ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
ENDINGS = (".nii.gz", ".nii", *ITK_ENDINGS, ".mgz", ".mgh", ".hdr", ".img")
"""Of image files, the longest first."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer", "git annex get, or datalad get"),
)
_GZIP = b"\x1f\x8b"
_NIFTI = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_CLASSES = (
    *(nib.Nifti1Image, nib.Nifti1Pair, nib.Nifti2Image, nib.Nifti2Pair),
    *(nib.AnalyzeImage, nib.MGHImage),
)
"""nibabel knows more formats, of which some read further files or XML: those are not for here."""


def stem_of(name: str) -> str:
    """A file's name without the ending of an image.

    >>> stem_of("t2.sag.NII.GZ"), stem_of("scan")
    ('t2.sag', 'scan')
    """
    ending = next((end for end in ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def is_image(path: Path) -> bool:
    """Whether the name ends like that of an image; macOS' `._*` companions are none."""
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith("._")


def open_image(path: Path) -> nib.spatialimages.SpatialImage:
    """An opened image of three axes (a fourth of length 1 is dropped); voxels are not yet read.

    :raises InputError: no such file, none of the formats, a pointer to a file that was not fetched,
        not 3D, not one number a voxel, more than :data:`MAX_VOXELS`, or more than the file can
        hold.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise InputError(
            path,
            expected="an image",
            found="a link to nothing: the file itself was not fetched",
            fix="Fetch it (git annex get, datalad get), or take the link away.",
        )
    require_file(path, expected="a NIfTI, NRRD or MetaImage file", fix="Check the path.")
    with path.open("rb") as stream:
        start = stream.read(540)
    _require_no_pointer(path, start)
    if start.startswith(b"NRRD") or path.name.lower().endswith(ITK_ENDINGS):
        from spinalroots.imaging.itk_files import read_itk

        return of_itk(read_itk(path))
    try:
        image = _opened(path, start)
        shape = image.shape
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            path,
            expected="a NIfTI file (.nii or .nii.gz), NRRD or MetaImage",
            found=f"something else ({error})",
            fix="Convert the scan to NIfTI; of a DICOM series give the folder.",
        ) from error
    require_volume(path, shape)
    _require_held(path, image)
    return image


def voxels(path: Path, image: nib.spatialimages.SpatialImage) -> np.ndarray:
    """The voxels (X, Y, Z), scaled as the header says.

    :raises InputError: truncated, or not one number a voxel.
    """
    _require_numbers(path, _stored(image))
    try:
        data = np.asanyarray(image.dataobj)
    except (EOFError, OSError, OverflowError, ValueError, zlib.error) as error:
        raise InputError(
            path,
            expected="a complete file",
            found=f"a truncated or damaged one ({error})",
            fix="Copy or export it again.",
        ) from error
    return data.reshape(data.shape[:3])


def _opened(path: Path, start: bytes) -> nib.spatialimages.SpatialImage:
    """An image of one of the formats, told by its first bytes, else by nibabel from the name."""
    packed = start.startswith(_GZIP)
    if packed:
        with gzip.open(path) as stream:
            start = stream.read(540)
    size = next(
        (n for order in ("little", "big") if (n := int.from_bytes(start[:4], order)) in _NIFTI), 0
    )
    single = size and (start[344:347] == b"n+1" or start[4:7] == b"n+2")
    if single:
        _require_short_header(path, _NIFTI[size], start)
        named_packed = path.name.lower().endswith(".gz")
        if packed != named_packed or not path.name.lower().endswith((".nii", ".nii.gz")):
            of = nib.Nifti2Image if start[4:7] == b"n+2" else nib.Nifti1Image
            with gzip.open(path) if packed else path.open("rb") as stream:
                holder = FileHolder(fileobj=io.BytesIO(stream.read(_claimed(_NIFTI[size], start))))
            return of.from_file_map({"header": holder, "image": holder})
    if path.name.lower().endswith((".mgz", ".mgh")):
        require_volume(path, tuple(map(int, np.frombuffer(start[4:16], ">i4"))))
    sniff = None
    for of in _CLASSES:
        fits, sniff = of.path_maybe_image(str(path), sniff)
        if fits:
            return of.from_filename(str(path))
    raise ValueError("no image format that is read here")


def _require_short_header(path: Path, kind: Any, start: bytes) -> None:
    """nibabel reads all that a header says lies before its voxels, be it gigabytes of nothing."""
    size = kind.template_dtype.itemsize
    offset = float(kind(start[:size].ljust(size, b"\0"), check=False)["vox_offset"])
    if not 0 <= offset <= MAX_EXTENSIONS:
        raise InputError(
            path,
            expected=f"voxels within {MAX_EXTENSIONS // 2**20} MB of the file's beginning",
            found=f"a header that says byte {offset:.6g}",
            fix="Export the scan again, without comments in its header.",
        )


def _claimed(kind: Any, start: bytes) -> int:
    """Bytes of a NIfTI file up to its last voxel, as its header says: no more is unpacked."""
    header = kind(start[: kind.template_dtype.itemsize], check=False)
    voxels = min(math.prod(map(int, header["dim"][1 : max(0, header["dim"][0]) + 1])), MAX_VOXELS)
    return MAX_EXTENSIONS + max(0, voxels) * max(1, int(header["bitpix"]) // 8)


def _stored(image: nib.spatialimages.SpatialImage) -> np.dtype:
    """Of the voxels as the file holds them, or of an array in memory."""
    return np.dtype(getattr(image.dataobj, "dtype", None) or image.get_data_dtype())


def _require_numbers(path: Path, stored: np.dtype) -> None:
    if stored.kind not in "biuf":
        raise InputError(
            path,
            expected="one number per voxel",
            found=f"data type {stored}",
            fix="Export a scalar volume.",
        )


def _require_held(path: Path, image: Any) -> None:
    """:class:`InputError` if the voxels that the header claims cannot be in the file."""
    stored = _stored(image)
    _require_numbers(path, stored)
    holder = image.file_map["image"]
    if holder.fileobj is not None:
        there, packed = holder.fileobj.seek(0, io.SEEK_END), False
    else:
        file = Path(holder.filename)
        require_file(file, expected="the voxels of an image", fix="Copy both of its files.")
        with file.open("rb") as stream:
            packed = stream.read(2) == _GZIP
        there = file.stat().st_size
    claimed = np.prod(image.shape, dtype=float) * stored.itemsize
    require_bytes(path, claimed, there, packed=packed)


def of_itk(image: sitk.Image) -> nib.Nifti1Image:
    """A SimpleITK image (LPS) as one of nibabel (RAS), voxel for voxel."""
    data = _array(image)
    direction = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
    matrix = direction * np.asarray(image.GetSpacing())[:3]
    affine = LPS_TO_RAS @ from_matvec(matrix, np.asarray(image.GetOrigin())[:3])
    found = nib.Nifti1Image(data, affine, dtype=data.dtype)
    found.header.set_xyzt_units("mm")
    return found


def _array(image: sitk.Image) -> np.ndarray:
    import SimpleITK as sitk

    data = sitk.GetArrayFromImage(image).T
    return data.reshape(data.shape[:3])


def _require_no_pointer(path: Path, start: bytes) -> None:
    for mark, kind, command in _POINTERS:
        if mark in start[:200] and b"\0" not in start[:40]:
            raise InputError(
                path,
                expected="an image",
                found=f"{kind}: the file itself was not fetched",
                fix=f"Fetch it: {command}.",
            )
