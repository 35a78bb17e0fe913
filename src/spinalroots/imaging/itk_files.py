"""NRRD and MetaImage files through SimpleITK, once it is clear that they can be read.

Such a header may name other files that hold its voxels, anywhere on the machine, and sizes that no
file has; SimpleITK believes both. Here the voxels lie in the file itself or beside it, and there
are as many as the header says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.limits import require_bytes, require_volume

if TYPE_CHECKING:
    import SimpleITK as sitk

MAX_HEADER = 2**20
"""Bytes of a header, all its comments included."""
NRRD, META = "NrrdImageIO", "MetaImageIO"
_DETACHED = re.compile(rb"^(?:data ?file:|ElementDataFile\s*=)[ \t]*(.*?)\s*$", re.I | re.M)
_PACKED = re.compile(
    rb"^(?:encoding:\s*(?:gzip|gz|bzip2|bz2)|CompressedData\s*=\s*True)\s*$", re.I | re.M
)
MAX_NAME, MAX_VALUE, MAX_AXES, MAX_CHANNELS = 200, 4000, 6, 1000
_META_TYPES = frozenset(
    f"MET_{name}"
    for name in (
        *("CHAR", "SHORT", "INT", "LONG", "LONG_LONG", "FLOAT", "DOUBLE"),
        *("UCHAR", "USHORT", "UINT", "ULONG", "ULONG_LONG"),
    )
)
_META_NUMBERS = {
    "DimSize": lambda axes: axes,
    **dict.fromkeys(("ElementSpacing", "ElementSize"), lambda axes: axes),
    **dict.fromkeys(("Offset", "Position", "Origin", "CenterOfRotation"), lambda axes: axes),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), lambda axes: axes**2),
    **dict.fromkeys(("HeaderSize", "CompressedDataSize"), lambda _: 1),
}
"""Field of a MetaImage header → how many numbers it has."""
_BYTES = {"8-bit": 1, "16-bit": 2, "32-bit": 4, "64-bit": 8}
_MOST_PACKED_BZIP2 = 1_500_000 // 1032
"""bzip2 packs a run of one value so much denser than gzip."""


def read_itk(path: Path, *, vectors: bool = False) -> sitk.Image:
    """The image in a NRRD or MetaImage file.

    :param vectors: whether a voxel may hold several numbers, as layers of a segmentation do.
    :raises InputError: something else, not 3D, more voxels than there are, voxels in another
        folder's file, or several numbers a voxel.
    """
    reader = reader_of(path)
    count = reader.GetNumberOfComponents()
    require_volume(path, reader.GetSize())
    if count != 1 and not vectors:
        raise InputError(
            path,
            expected="one number per voxel",
            found=f"{count} per voxel: colour, or a segmentation with overlapping segments",
            fix="Export a scalar volume.",
        )
    _require_there(path, reader)
    try:
        return reader.Execute()
    except (RuntimeError, MemoryError) as error:
        raise unreadable(path, error) from error


def reader_of(path: Path) -> sitk.ImageFileReader:
    """A reader that has read the header.

    :raises InputError: something else, or a header that names another folder's file.
    """
    import SimpleITK as sitk

    header = _header(path)
    if not header.startswith(b"NRRD"):
        _require_meta(path, header)
    _require_beside(path, header)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(NRRD if header.startswith(b"NRRD") else META)
    try:
        reader.ReadImageInformation()
    except (RuntimeError, MemoryError) as error:
        raise unreadable(path, error) from error
    return reader


def unreadable(path: Path, error: Exception) -> InputError:
    """The error of a file that SimpleITK cannot read."""
    last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return InputError(
        path,
        expected="a NRRD or MetaImage file with all its data",
        found=f"something else, or a truncated one ({last})",
        fix="Copy or export it again.",
    )


def _header(path: Path) -> bytes:
    """The text of a header, without the voxels behind it."""
    with path.open("rb") as stream:
        start = stream.read(MAX_HEADER)
    if start.startswith(b"NRRD"):
        ends = [at for end in (b"\n\n", b"\r\n\r\n") if (at := start.find(end)) >= 0]
        return start[: min(ends) + 1] if ends else start
    data = re.search(rb"^ElementDataFile[^\n]*\n", start, re.I | re.M)
    if data and b"LIST" not in data[0]:
        return start[: data.end()]
    return start


def _require_meta(path: Path, header: bytes) -> None:
    """:class:`InputError` unless a MetaImage header has the numbers that it says: MetaIO reads them
    into arrays of a fixed length, and whoever gives more, or none, makes the program crash."""
    fields: dict[str, str] = {}
    for line in header.decode("latin-1").split("\n"):
        key, mark, value = line.partition("=")
        if not mark or len(key) > MAX_NAME or len(value) > MAX_VALUE:
            break  # the voxels, or no header at all
        fields[key.strip()] = value.strip()
    try:
        axes = int(fields["NDims"])
        if not 1 <= axes <= MAX_AXES or "ElementDataFile" not in fields:
            raise ValueError(f"{axes} axes, or no voxels")
        if not 1 <= int(fields.get("ElementNumberOfChannels", "1")) <= MAX_CHANNELS:
            raise ValueError("no number of channels that an image has")
        if fields["ElementType"] not in _META_TYPES:
            raise ValueError(f"type {fields['ElementType']!r}")
        for name, count in _META_NUMBERS.items():
            if name in fields:
                numbers = [float(one) for one in fields[name].split()]
                if len(numbers) != count(axes) or not np.isfinite(numbers).all():
                    raise ValueError(f"{name} of {fields[name][:80]!r}")
        if min(map(int, fields["DimSize"].split())) < 1:
            raise ValueError("a size below 1")
    except (KeyError, ValueError) as error:
        raise unreadable(path, error) from error


def _require_beside(path: Path, header: bytes) -> None:
    """:class:`InputError` if the voxels lie in several files, or in one of another folder."""
    for name in _DETACHED.findall(header):
        if name.upper() == b"LOCAL":
            continue
        text = name.decode("utf-8", "replace")
        beside = path.parent / text
        plain = bool(text) and "/" not in text.removeprefix("./") and "\\" not in text
        listed = text.upper().startswith("LIST") or "%" in text
        if not plain or listed or beside.resolve().parent != path.parent.resolve():
            raise InputError(
                path,
                expected="voxels in the file itself, or in one file beside it",
                found=f"a header that names {text!r}",
                fix="Save it again as one file (.nrrd, .mha).",
            )
        if not beside.is_file():
            raise InputError(
                path,
                expected=f"its voxels in {beside}",
                found="no such file",
                fix="Copy both files.",
            )


def _require_there(path: Path, reader: sitk.ImageFileReader) -> None:
    """:class:`InputError` if the files cannot hold what the header claims."""
    import SimpleITK as sitk

    header = _header(path)
    sizes = [path.stat().st_size]
    sizes += [
        (path.parent / name.decode("utf-8", "replace")).stat().st_size
        for name in _DETACHED.findall(header)
        if name.upper() != b"LOCAL"
    ]
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    item = next((size for bits, size in _BYTES.items() if bits in kind), 1)
    claimed = float(item * reader.GetNumberOfComponents())
    for length in reader.GetSize():
        claimed *= length
    packed = _PACKED.search(header)
    more = _MOST_PACKED_BZIP2 if packed and b"bz" in packed[0].lower() else 1
    if re.search(rb"^encoding:\s*(?:ascii|text|txt|hex)", header, re.I | re.M):
        claimed /= item  # a character a number at least
    require_bytes(path, claimed, sum(sizes) * more, packed=bool(packed))
