"""Hostile NRRD and MetaImage files; each goes to predict and to ingest."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from hostile import add
from hostile_images import zeros
from scan_files import SHAPE, tube

NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": " ".join(map(str, SHAPE)),
    "space directions": "(1.2,0,0) (0,1.2,0) (0,0,1.5)",
    "space origin": "(0,0,0)",
    "endian": "little",
    "encoding": "raw",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1.2 1.2 1.5",
    "DimSize": " ".join(map(str, SHAPE)),
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


@cache
def voxels() -> bytes:
    return np.ascontiguousarray(tube().data.T.astype("<i2")).tobytes()


def nrrd(data: bytes | None = None, version="NRRD0004", end="\n", more="", **fields) -> bytes:
    """A NRRD file with other fields; None leaves one out."""
    fields = {**NRRD, **{name.replace("_", " "): value for name, value in fields.items()}}
    lines = [version, *(f"{key}: {value}" for key, value in fields.items() if value is not None)]
    text = end.join(lines) + end + more + end
    return text.encode("utf-8", "surrogateescape") + (voxels() if data is None else data)


def meta(data: bytes | None = None, more: str = "", **fields) -> bytes:
    """A MetaImage file with other fields; the data file's name comes last, as it must."""
    fields = {**META, **fields}
    last = fields.pop("ElementDataFile")
    text = "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
    text += more + (f"ElementDataFile = {last}\n" if last is not None else "")
    return text.encode("utf-8", "surrogateescape") + (voxels() if data is None else data)


def _file(name: str, content, ending: str, **beside: bytes) -> None:
    def make(folder: Path) -> Path:
        inner = folder / "inner"
        inner.mkdir()
        (folder / "outside.raw").write_bytes(voxels())
        (inner / "link.raw").symlink_to(folder / "outside.raw")
        (inner / "beside.raw").write_bytes(voxels())
        path = inner / f"scan{ending}"
        path.write_bytes(content())
        return path

    add("scan", f"{ending[1:]} {name}", make)


HUGE = "1000000000000 1000000000000 1000000000000"
for _name, _fields in {
    "as it should be": {},
    "of large sizes": {"sizes": "10000 10000 10000"},
    "of huge sizes": {"sizes": HUGE},
    "of negative sizes": {"sizes": "-30 32 40"},
    "of no size": {"sizes": "30 0 40"},
    "of two sizes": {"sizes": "30 32"},
    "of sizes in words": {"sizes": "many few some"},
    "of more voxels than it has": {"sizes": "30 32 400"},
    "of two axes": {"dimension": "2", "sizes": "960 40", "space": None, "space_directions": None},
    "of no axes": {"dimension": "0"},
    "of many axes": {"dimension": "99"},
    "of vectors": {"dimension": "4", "sizes": "2 15 32 40", "kinds": "vector domain domain domain"},
    "of blocks": {"type": "block", "block_size": "1000000000"},
    "of an unknown type": {"type": "quaternion"},
    "of doubles": {"type": "double"},
    "of an unknown encoding": {"encoding": "rot13"},
    "of hex": {"encoding": "hex"},
    "of text": {"encoding": "ascii"},
    "of gzip that is none": {"encoding": "gzip"},
    "of bzip2 that is none": {"encoding": "bzip2"},
    "of NaN directions": {"space_directions": "(nan,0,0) (0,nan,0) (0,0,nan)"},
    "of no directions": {"space_directions": "none none none"},
    "of flat directions": {"space_directions": "(1,0,0) (1,0,0) (1,0,0)"},
    "of directions of 0": {"space_directions": "(0,0,0) (0,0,0) (0,0,0)"},
    "of huge directions": {"space_directions": "(1e300,0,0) (0,1e300,0) (0,0,1e300)"},
    "of large directions": {"space_directions": "(400,0,0) (0,400,0) (0,0,400)"},
    "of an infinite origin": {"space_origin": "(inf,0,0)"},
    "of an unknown space": {"space": "hyperbolic"},
    "without an endian": {"endian": None},
    "that skips lines": {"line_skip": "1000000000"},
    "that skips bytes": {"byte_skip": "100000000000"},
    "that skips backwards": {"byte_skip": "-2"},
    "with data above": {"data_file": "../outside.raw"},
    "with data far away": {"data_file": "/etc/passwd"},
    "with data without end": {"data_file": "/dev/zero"},
    "with data behind a link": {"data_file": "link.raw"},
    "with data beside": {"data_file": "beside.raw"},
    "with data in a list": {"data_file": "LIST\n../outside.raw"},
    "with data in a pattern": {"data_file": "../outside%03d.raw 1 40 1 2"},
    "with data of no name": {"data_file": ""},
    "with data in itself": {"data_file": "scan.nrrd"},
    "with data nowhere": {"data_file": "gone.raw"},
    "with data written together": {"datafile": "../outside.raw"},
    "of an unknown version": {"version": "NRRD9999"},
    "of a DOS text": {"end": "\r\n"},
    "of many comments": {"more": "# comment\n" * 50000},
    "of a long line": {"more": "# " + "x" * 2_000_000 + "\n"},
    "of odd keys": {"more": "k\x00ey:=v\x01alue\nSegment0_Name:=L3\nSegment0_Layer:=x\n"},
}.items():
    _file(_name, lambda f=_fields: nrrd(**f), ".nrrd")
_file("of a gzip bomb", lambda: nrrd(zeros(4096), encoding="gzip"), ".nrrd")
_file("that ends in its header", lambda: nrrd()[:80], ".nrrd")
_file("of a mark of UTF-16", lambda: b"\xff\xfe" + nrrd(), ".nrrd")
_file("of nothing", lambda: b"", ".nrrd")
_file("of a picture", lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), ".nrrd")

for _name, _fields in {
    "as it should be": {},
    "of large sizes": {"DimSize": "10000 10000 10000"},
    "of huge sizes": {"DimSize": HUGE},
    "of negative sizes": {"DimSize": "-30 32 40"},
    "of two sizes": {"DimSize": "30 32"},
    "of sizes in words": {"DimSize": "many few some"},
    "of more voxels than it has": {"DimSize": "30 32 400"},
    "of two axes": {"NDims": "2"},
    "of no axes": {"NDims": "0"},
    "of many axes": {"NDims": "1000000"},
    "of negative axes": {"NDims": "-3"},
    "of many channels": {"ElementNumberOfChannels": "1000000000"},
    "of an unknown type": {"ElementType": "MET_QUATERNION"},
    "of an odd type": {"ElementType": "MET_LONG_LONG_ARRAY"},
    "of doubles": {"ElementType": "MET_DOUBLE"},
    "of packed voxels that are not": {"CompressedData": "True"},
    "of a packed size": {"CompressedData": "True", "CompressedDataSize": "99999999999"},
    "of NaN spacing": {"ElementSpacing": "nan nan nan"},
    "of spacing 0": {"ElementSpacing": "0 0 0"},
    "of huge spacing": {"ElementSpacing": "1e300 1e300 1e300"},
    "of large spacing": {"ElementSpacing": "400 400 400"},
    "of a flat matrix": {"TransformMatrix": "1 0 0 1 0 0 1 0 0"},
    "of a short matrix": {"TransformMatrix": "1 0"},
    "of an infinite offset": {"Offset": "inf 0 0"},
    "with data above": {"ElementDataFile": "../outside.raw"},
    "with data far away": {"ElementDataFile": "/etc/passwd"},
    "with data without end": {"ElementDataFile": "/dev/zero"},
    "with data behind a link": {"ElementDataFile": "link.raw"},
    "with data beside": {"ElementDataFile": "beside.raw"},
    "with data in a list": {"ElementDataFile": "LIST\n../outside.raw"},
    "with data in a pattern": {"ElementDataFile": "../outside%03d.raw 1 40 1"},
    "with data of no name": {"ElementDataFile": ""},
    "with data in itself": {"ElementDataFile": "scan.mha"},
    "with data nowhere": {"ElementDataFile": "gone.raw"},
    "without data": {"ElementDataFile": None},
    "of a large header": {"HeaderSize": "99999999999"},
    "of a header of -1": {"HeaderSize": "-1"},
    "of a long comment": {"Comment": "x" * 2_000_000},
    "of an odd comment": {"Comment": "\x00\x1b[2J\udcff"},
}.items():
    _file(_name, lambda f=_fields: meta(**f), ".mha")
_file("of nothing", lambda: b"", ".mha")
_file("that ends in its header", lambda: meta()[:120], ".mha")
_file("apart, with data above", lambda: meta(b"", ElementDataFile="../outside.raw"), ".mhd")
_file("apart, with data beside", lambda: meta(b"", ElementDataFile="beside.raw"), ".mhd")
_file("apart, of a picture", lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), ".mhd")
