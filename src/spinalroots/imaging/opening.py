"""Any image file → its voxels as stored, told by content and not by name.

NIfTI-1 and -2 (packed or not, whatever the name says), Analyze, MGH/MGZ through nibabel; NRRD and
MetaImage through SimpleITK.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.fileholders import FileHolder

from spinalroots.errors import InputError, require_file

if TYPE_CHECKING:
    import SimpleITK as sitk

MAX_VOXELS = 2**28
"""Most voxels of a file, a whole spine at 0.4 mm: a header that claims more is damaged or hostile,
and is refused before memory is taken for it. A byte of a `.gz` file may unpack to a thousand."""
ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
ENDINGS = (".nii.gz", ".nii", *ITK_ENDINGS, ".mgz", ".mgh", ".hdr", ".img")
"""Of image files, the longest first."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer", "git annex get, or datalad get"),
)
_GZIP, _NIFTI_SIZES = b"\x1f\x8b", {348, 540}


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
        not 3D, or more than :data:`MAX_VOXELS`.
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
        start = stream.read(352)
    _require_no_pointer(path, start)
    if start.startswith(b"NRRD") or path.name.lower().endswith(ITK_ENDINGS):
        return _itk(path)
    try:
        image = _nifti(path, start) or nib.load(path)
        shape = image.shape
    except Exception as error:
        raise InputError(
            path,
            expected="a NIfTI file (.nii or .nii.gz), NRRD or MetaImage",
            found=f"something else ({error})",
            fix="Convert the scan to NIfTI; of a DICOM series give the folder.",
        ) from error
    require_volume(path, shape)
    return image


def voxels(path: Path, image: nib.spatialimages.SpatialImage) -> np.ndarray:
    """The voxels (X, Y, Z), scaled as the header says.

    :raises InputError: truncated, or not one number a voxel.
    """
    try:
        data = np.asanyarray(image.dataobj)
    except (EOFError, MemoryError, OSError, ValueError, zlib.error) as error:
        raise InputError(
            path,
            expected="a complete file",
            found=f"a truncated or damaged one ({error})",
            fix="Copy or export it again.",
        ) from error
    if data.dtype.kind not in "biuf":
        raise InputError(
            path,
            expected="one number per voxel",
            found=f"data type {data.dtype}",
            fix="Export a scalar volume.",
        )
    return data.reshape(data.shape[:3])


def _nifti(path: Path, start: bytes) -> nib.Nifti1Image | None:
    """A single-file NIfTI by its content; None where it is something else."""
    packed = start.startswith(_GZIP)
    if packed:
        with gzip.open(path) as stream:
            start = stream.read(352)
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    if not sizes & _NIFTI_SIZES:
        return None
    single = start[344:347] == b"n+1" or start[4:7] == b"n+2"
    named_packed = path.name.lower().endswith(".gz")
    if not single or (packed == named_packed and path.name.lower().endswith((".nii", ".nii.gz"))):
        return None  # nibabel finds its own way
    of = nib.Nifti2Image if start[4:7] == b"n+2" else nib.Nifti1Image
    with gzip.open(path) if packed else path.open("rb") as stream:
        holder = FileHolder(fileobj=io.BytesIO(stream.read(_most_bytes(start))))
    return of.from_file_map({"header": holder, "image": holder})


def _most_bytes(start: bytes) -> int:
    """No more is unpacked than the largest volume that is read."""
    return MAX_VOXELS * 8 + len(start)


def _itk(path: Path) -> nib.Nifti1Image:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        require_volume(path, reader.GetSize())
        if reader.GetNumberOfComponents() != 1:
            raise InputError(
                path,
                expected="one number per voxel",
                found=f"{reader.GetNumberOfComponents()} per voxel: colour, or a segmentation with "
                "overlapping segments",
                fix="Export a scalar volume.",
            )
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(
            path,
            expected="a NRRD or MetaImage file with all its data",
            found=f"something else, or a truncated one ({str(error).strip().splitlines()[-1]})",
            fix="Copy or export it again.",
        ) from error
    return of_itk(image)


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


def require_volume(path: Path, shape: tuple[int, ...]) -> None:
    """:class:`InputError` unless `shape` is a volume's and not too large; last axes of 1 go."""
    if len(shape) < 3 or min(shape[:3]) < 2 or np.prod(shape[3:], dtype=float) != 1:
        raise InputError(
            path,
            expected="one 3D volume",
            found=f"{len(shape)}D data of shape {tuple(shape)}",
            fix="Split the series and give one volume.",
        )
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(
            path,
            expected=f"at most {MAX_VOXELS // 10**6} million voxels",
            found=f"a header that claims {'×'.join(map(str, shape))}",
            fix="Crop the scan to the lower spine, or export it again.",
        )


def _require_no_pointer(path: Path, start: bytes) -> None:
    for mark, kind, command in _POINTERS:
        if mark in start[:200] and b"\0" not in start[:40]:
            raise InputError(
                path,
                expected="an image",
                found=f"{kind}: the file itself was not fetched",
                fix=f"Fetch it: {command}.",
            )
