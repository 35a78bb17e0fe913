"""Hostile DICOM: single slices and enhanced files; each goes to predict and to ingest."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
from hostile import add
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from scan_files import dicom, enhanced, moved, tube

NAN = float("nan")
SLICES = 8


def _few():
    whole = tube()
    return moved(whole, data=whole.data[:, :, :SLICES])


@cache
def _slices(folder_text: str) -> None:
    dicom(Path(folder_text), _few())


def changed(edit: Callable, only: int | None = None) -> Callable[[Path], Path]:
    """A series with `edit(dataset, number)` done to its slices, or to one of them."""

    def maybe(dataset, number):
        if only is None or number == only:
            edit(dataset, number)

    def make(folder: Path) -> Path:
        return dicom(folder / "series", _few(), maybe)

    return make


def put(name: str, value) -> Callable:
    return lambda dataset, _: setattr(dataset, name, value)


def raw(tag: int, vr: str, value: bytes) -> Callable:
    """A value that pydicom would not write: it stands there as it is."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    def edit(dataset, _) -> None:
        element = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
        dataset._dict[Tag(tag)] = element

    return edit


def drop(name: str) -> Callable:
    return lambda dataset, _: delattr(dataset, name)


POSITION, DIRECTIONS, SPACING = 0x00200032, 0x00200037, 0x00280030
for _name, _edit in {
    "without a position": drop("ImagePositionPatient"),
    "without directions": drop("ImageOrientationPatient"),
    "without a spacing": drop("PixelSpacing"),
    "without rows": drop("Rows"),
    "without a series": drop("SeriesInstanceUID"),
    "without instances": drop("SOPInstanceUID"),
    "without bits": drop("BitsAllocated"),
    "without voxels": drop("PixelData"),
    "of positions in words": raw(POSITION, "DS", b"here\\there\\where "),
    "of positions that are NaN": raw(POSITION, "DS", b"nan\\nan\\nan "),
    "of infinite positions": raw(POSITION, "DS", b"1e999\\0\\0 "),
    "of two positions": raw(POSITION, "DS", b"1\\2 "),
    "of an empty position": raw(POSITION, "DS", b""),
    "of one position": put("ImagePositionPatient", [0, 0, 0]),
    "of five directions": raw(DIRECTIONS, "DS", b"1\\0\\0\\0\\1 "),
    "of directions of 0": put("ImageOrientationPatient", [0.0] * 6),
    "of parallel directions": put("ImageOrientationPatient", [1.0, 0, 0, 1, 0, 0]),
    "of NaN directions": raw(DIRECTIONS, "DS", b"nan\\0\\0\\0\\nan\\0 "),
    "of spacing 0": put("PixelSpacing", [0.0, 0.0]),
    "of negative spacing": put("PixelSpacing", [-1.0, 1.0]),
    "of three spacings": raw(SPACING, "DS", b"1\\1\\1 "),
    "of spacing in words": raw(SPACING, "DS", b"near\\far"),
    "of huge spacing": put("PixelSpacing", [1e9, 1e9]),
    "of all rows": put("Rows", 65535),
    "of all rows and columns": lambda d, _: (put("Rows", 65535)(d, _), put("Columns", 65535)(d, _)),
    "of no rows": put("Rows", 0),
    "of more columns": put("Columns", 31),
    "of colour": lambda d, _: (
        put("SamplesPerPixel", 3)(d, _),
        put("PlanarConfiguration", 0)(d, _),
    ),
    "of 7 bits": put("BitsAllocated", 7),
    "of 64 bits": put("BitsAllocated", 64),
    "of a NaN slope": raw(0x00281053, "DS", b"nan "),
    "of a slope in words": raw(0x00281053, "DS", b"steep "),
    "of a huge slope": put("RescaleSlope", 1e38),
    "of an echo in words": raw(0x00180081, "DS", b"late"),
    "of an image type that is a number": raw(0x00080008, "CS", b"\xff\xfe"),
    "of an unknown type of value": raw(0x00080060, "QQ", b"MR"),
    "of many instances in one": put("SOPInstanceUID", "1.2.3"),
    "of a long number": raw(0x00200011, "IS", b"9" * 5000 + b"9"),
    "of a strange alphabet": raw(0x00080005, "CS", b"\\ISO 2022 IR 9999 "),
    "of 10^4 frames in a slice": put("NumberOfFrames", 10**4),
    "of 10^9 frames in a slice": put("NumberOfFrames", 10**9),
    "of another modality": put("Modality", "CT"),
    "of a localiser": put("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
}.items():
    add("scan", f"dicom {_name}", changed(_edit))
for _name, _edit in {
    "a slice twice": put("ImagePositionPatient", [0.0, 0, 0]),
    "a slice of another shape": put("Rows", 31),
    "a slice of another spacing": put("PixelSpacing", [3.0, 3.0]),
    "a slice of another direction": put("ImageOrientationPatient", [0.0, 1, 0, 0, 0, 1]),
    "a slice of another series": put("SeriesInstanceUID", "9.9.9"),
    "a slice of few voxels": put("PixelData", bytes(10)),
    "a slice of no voxels": put("PixelData", b""),
    "a slice far away": put("ImagePositionPatient", [1e9, 0, 0]),
}.items():
    add("scan", f"dicom with {_name}", changed(_edit, only=3))


def syntax(uid) -> Callable:
    def edit(dataset, _) -> None:
        dataset.file_meta.TransferSyntaxUID = uid

    return edit


def _renamed_syntax(uid: str) -> Callable[[Path], Path]:
    """Slices whose bytes are not of the kind that their header says."""

    def make(folder: Path) -> Path:
        series = dicom(folder / "series", _few())
        for path in series.iterdir():
            data = path.read_bytes()
            old = pydicom.dcmread(path).file_meta.TransferSyntaxUID.encode()
            new = uid.encode()[: len(old)].ljust(len(old), b"\0")
            path.write_bytes(data.replace(old, new, 1))
        return series

    return make


for _uid in (
    *(JPEG2000Lossless, JPEGBaseline8Bit, RLELossless, DeflatedExplicitVRLittleEndian),
    *(ExplicitVRBigEndian, "1.2.3.4"),
):
    add("scan", f"dicom that says it is {_uid}", _renamed_syntax(str(_uid)))


def damaged(change: Callable[[bytes], bytes], which: int = 2) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        series = dicom(folder / "series", _few())
        path = sorted(series.iterdir())[which]
        path.write_bytes(change(path.read_bytes()))
        return series

    return make


def nested(depth: int, defined: bool) -> bytes:
    """Sequence within sequence, explicit little endian."""
    inner = b""
    item = struct.pack("<HH", 0xFFFE, 0xE000)
    head = struct.pack("<HH", 0x0040, 0x0275) + b"SQ\0\0"
    if not defined:
        ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        opened = head + b"\xff" * 4 + item + b"\xff" * 4
        return opened * depth + ends * depth
    for _ in range(depth):
        content = item + struct.pack("<I", len(inner)) + inner
        inner = head + struct.pack("<I", len(content)) + content
    return inner


def before_voxels(content: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = data.rfind(struct.pack("<HH", 0x7FE0, 0x0010) + b"OW")
        return data[:at] + content + data[at:]

    return change


for _name, _change in {
    "nested 10^4 deep": before_voxels(nested(10**4, False)),
    "nested 1000 deep, with lengths": before_voxels(nested(1000, True)),
    "nested 50 deep": before_voxels(nested(50, True)),
    "a value of 4 GB": before_voxels(
        struct.pack("<HH", 0x0040, 0x1001) + b"UN\0\0\xf0\xff\xff\xff"
    ),
    "a sequence without end": before_voxels(nested(3, False)[:30]),
    "10^5 tags": before_voxels(
        b"".join(struct.pack("<HH2sH", 0x0041, i % 65535, b"LO", 0) for i in range(10**5))
    ),
    "half a slice": lambda data: data[: len(data) // 2],
    "132 bytes": lambda data: data[:132],
    "the mark and garbage": lambda data: data[:132] + b"\xa5" * 4000,
    "garbage in its middle": lambda data: data[:200] + b"\xff" * 300 + data[500:],
    "no preamble": lambda data: data[132:],
    "a tag out of order": lambda data: (
        data + struct.pack("<HH2sH", 0x0008, 0x0008, b"CS", 2) + b"A "
    ),
}.items():
    add("scan", f"dicom with {_name}", damaged(_change))


def _enhanced(edit: Callable = lambda data: None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = enhanced(folder / "series" / "one.dcm", _few())
        data = pydicom.dcmread(path)
        edit(data)
        data.save_as(path)
        return path.parent

    return make


def _frames(data, change: Callable) -> None:
    for frame in data.PerFrameFunctionalGroupsSequence:
        change(frame)


for _name, _edit in {
    "": lambda data: None,
    "of 10^9 frames": lambda data: setattr(data, "NumberOfFrames", 10**9),
    "of no frames": lambda data: setattr(data, "NumberOfFrames", 0),
    "of fewer frames": lambda data: setattr(data, "NumberOfFrames", 3),
    "of fewer descriptions": lambda data: data.PerFrameFunctionalGroupsSequence.pop(),
    "of no descriptions": lambda data: setattr(data, "PerFrameFunctionalGroupsSequence", []),
    "of no shared description": lambda data: setattr(data, "SharedFunctionalGroupsSequence", []),
    "of frames nowhere": lambda data: _frames(
        data, lambda one: delattr(one, "PlanePositionSequence")
    ),
    "of empty places": lambda data: _frames(
        data, lambda one: setattr(one, "PlanePositionSequence", [])
    ),
    "of few voxels": lambda data: setattr(data, "PixelData", bytes(100)),
    "of all rows": lambda data: setattr(data, "Rows", 65535),
}.items():
    add("scan", f"enhanced dicom {_name}", _enhanced(_edit))


def _mixed(folder: Path) -> Path:
    dicom(folder / "cd", _few(), series="1.2.3.4")
    dicom(folder / "cd", _few(), series="1.2.3.5", seed_uid=2)
    return folder / "cd"


def _loop(folder: Path) -> Path:
    dicom(folder / "cd" / "inner", _few())
    (folder / "cd" / "inner" / "again").symlink_to(folder / "cd")
    return folder / "cd"


def _odd_names(folder: Path) -> Path:
    dicom(folder / "Müller\nJürgen $(true)", _few())
    return folder / "Müller\nJürgen $(true)"


def _directory_file(folder: Path) -> Path:
    dicom(folder / "cd", _few())
    path = sorted((folder / "cd").iterdir())[0]
    data = path.read_bytes()
    (folder / "cd" / "DICOMDIR").write_bytes(data[:132] + b"\xff" * 64)
    return folder / "cd"


add("scan", "dicom of two series", _mixed)
add("scan", "dicom in a circle of links", _loop)
add("scan", "dicom in a folder of an odd name", _odd_names)
add("scan", "dicom with a broken directory", _directory_file)
add("scan", "dicom of one slice", lambda f: sorted(dicom(f / "s", _few()).iterdir())[0])
add("scan", "an empty folder", lambda f: f)
add("scan", "random bytes", lambda f: _bytes(f / "IM0001", np.random.default_rng(1).bytes(5000)))


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path.parent
