"""Hostile scans: NIfTI, Analyze, MGH, NRRD, MetaImage. Each goes to predict and to ingest."""

from __future__ import annotations

import gzip
import os
import struct
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from hostile import add, file
from scan_files import tube

NAN, INF = float("nan"), float("inf")


@cache
def plain(of: type = nib.Nifti1Image) -> bytes:
    """A scan as nobody would mind it, not packed."""
    return of(tube().data.astype(np.int16), tube().affine).to_bytes()


def edited(of: type = nib.Nifti1Image, **fields) -> bytes:
    """The scan with other header fields: a value for all of a field, or {index: value}."""
    kind, content = of.header_class, plain(of)
    size = kind.template_dtype.itemsize
    header = kind(content[:size], check=False)._structarr
    for name, value in fields.items():
        if isinstance(value, dict):
            for index, one in value.items():
                header[name][index] = one
        else:
            header[name] = value
    return header.tobytes() + content[size:]


def with_extension(size: int, code: int, content: bytes = b"", of: type = nib.Nifti1Image) -> bytes:
    """The scan with a header extension that claims `size` bytes."""
    extension = b"\1\0\0\0" + struct.pack("<ii", size, code) + content
    extension += bytes(-len(extension) % 16)
    head = edited(of, vox_offset=len(extension) + 348)
    return head[:348] + extension + head[352:]


def zeros(megabytes: int) -> bytes:
    """Packed nothing: a few kB each 64 MB."""
    return _block() * (megabytes // 64)


@cache
def _block() -> bytes:
    return gzip.compress(bytes(2**26), 9)


FIELDS = {
    "dim": [
        *(dict.fromkeys((1, 2, 3), 32767), {0: -1}, {0: 0}, {0: 1}, {0: 2}, {0: 4, 4: 30}),
        *({0: 5, 4: 1, 5: 3}, {0: 7}, {0: 8}, {0: 255}, {0: 2**14}, {1: 0}, {2: -5}, {3: 1}),
        *({0: 4, 4: 0}, {0: 4, 4: -1}, {1: 31, 2: 33}, {1: 2000, 2: 2000, 3: 60}),
    ],
    "datatype": [0, 1, 8, 32, 128, 255, 256, 768, 1024, 1536, 1792, 2048, 2304, 9999, -1],
    "bitpix": [0, -8, 1, 4096],
    "pixdim": [
        *({1: 0}, {1: -1}, {2: NAN}, {3: INF}, {1: 1e-30}, {1: 1e30}, {0: NAN}, {0: 0}, {0: 7}),
        *(dict.fromkeys(range(1, 4), 0), dict.fromkeys(range(1, 4), 500), {3: 1e-4}),
    ],
    "vox_offset": [0, 351, 348, -1, NAN, INF, -INF, 1e9, 1e18, 353.5, 352.25, 1e7],
    "scl_slope": [NAN, INF, 0, 1e38, -1, 1e-45],
    "scl_inter": [NAN, INF, -1e38],
    "qform_code": [-1, 32000],
    "sform_code": [-1, 32000],
    "quatern_b": [NAN, 2.0, INF],
    "qoffset_x": [NAN, INF, 1e30],
    "srow_x": [NAN, INF, 0, 1e30, 1e-30, 500],
    "srow_z": [0],
    "xyzt_units": [0, 1, 3, 7, 255],
    "magic": [b"ni1", b"n+2", b"XXXX", b""],
    "sizeof_hdr": [0, -1, 540, 1543569408],
    "cal_max": [NAN],
    "slice_code": [255],
    "intent_code": [-30000, 1007],
}
for _field, _values in FIELDS.items():
    for _value in _values:

        def _content(field=_field, value=_value) -> bytes:
            codes = {"qform_code": 0} if field.startswith("srow") else {}
            codes |= {"sform_code": 0} if field[0] == "q" or field == "pixdim" else {}
            codes |= {"qform_code": 1} if field == "pixdim" else {}
            return edited(**{**codes, field: value})

        file("scan", f"nifti {_field} {_value}", _content, "scan.nii")

for _fields in (
    {"dim": dict.fromkeys((1, 2, 3), 10**4)},
    {"dim": dict.fromkeys((1, 2, 3), 2**62)},
    {"dim": {1: -(2**40)}},
    {"dim": {0: 2**40}},
    {"vox_offset": 2**62},
    {"vox_offset": -(2**62)},
    {"pixdim": {1: 1e300}, "sform_code": 0},
    {"srow_x": 1e300},
    {"magic": b"n+1"},
):
    file("scan", f"nifti-2 {_fields}", lambda f=_fields: edited(nib.Nifti2Image, **f), "scan.nii")

for _size, _code, _text in (
    (2**31 - 16, 6, b"a"),
    (0, 6, b""),
    (-16, 6, b""),
    (7, 6, b"x"),
    (16, -1, b"x" * 8),
    (32, 2, b"\x08\0\x16\0UI\xff\xff" + b"9" * 16),
    (32, 32, b"<a>" * 8),
    (48, 6, b"\xff\xfe" * 20),
):
    file(
        "scan",
        f"nifti extension of {_size} bytes, code {_code}",
        lambda s=_size, c=_code, t=_text: with_extension(s, c, t),
        "scan.nii",
    )

for _length in (0, 1, 100, 347, 348, 352, 1000, 40000):
    file("scan", f"nifti of {_length} bytes", lambda n=_length: plain()[:n], "scan.nii")
    if _length not in (0, 348, 1000):
        packed = f"nifti packed and cut after {_length // 2} bytes"
        file("scan", packed, lambda n=_length: gzip.compress(plain(), 1)[: n // 2], "scan.nii.gz")

file("scan", "gzip of a damaged middle", lambda: _damaged(), "scan.nii.gz")
file("scan", "gzip and garbage", lambda: gzip.compress(plain(), 1) + b"x" * 500, "scan.nii.gz")
file("scan", "gzip twice", lambda: gzip.compress(gzip.compress(plain(), 1), 1), "scan.nii.gz")
file("scan", "gzip of nothing", gzip.compress(b""), "scan.nii.gz")
file("scan", "bomb of 10 GB", lambda: zeros(10240), "scan.nii.gz")
file("scan", "bomb behind a header", lambda: _pack(plain()) + zeros(10240), "scan.nii.gz")
file("scan", "bomb that is named plain", lambda: _pack(plain()) + zeros(10240), "scan.nii")
file(
    "scan",
    "bomb of an extension",
    lambda: _pack(with_extension(2**31 - 16, 6)[:368]) + zeros(4096),
    "scan.nii.gz",
)
file(
    "scan",
    "bomb of many extensions",
    lambda: _pack(edited(vox_offset=2.0**33)[:348] + b"\1\0\0\0") + zeros(8192),
    "scan.nii.gz",
)
file(
    "scan",
    "four gigabytes claimed in a packed kilobyte",
    lambda: _pack(edited(dim=dict.fromkeys((1, 2, 3), 640), datatype=1536, bitpix=128)[:1000]),
    "scan.nii.gz",
)
file("scan", "nifti of text", b"once upon a time\n" * 100, "scan.nii")
file("scan", "nifti of BOMs", b"\xff\xfe" * 500, "scan.nii.gz")
file("scan", "nifti of zeros", bytes(1000), "scan.nii")
file("scan", "nifti of a pickle", b"\x80\x04\x95cos\nsystem\n(S'true'\ntR." * 20, "scan.nii")
file("scan", "nifti of XML", b'<!DOCTYPE a [<!ENTITY b "c">]><GIFTI/>' * 20, "scan.gii")
file("scan", "nifti packed as bzip2", lambda: __import__("bz2").compress(plain()), "scan.nii.bz2")


def _pack(content: bytes) -> bytes:
    return gzip.compress(content, 1)


def _damaged() -> bytes:
    content = bytearray(_pack(plain()))
    content[len(content) // 2 : len(content) // 2 + 40] = b"\xff" * 40
    return bytes(content)


def _values(change):
    def content() -> bytes:
        data = tube().data.astype(np.float32)
        change(data)
        return nib.Nifti1Image(data, tube().affine).to_bytes()

    return content


def _set(where, value):
    def change(data: np.ndarray) -> None:
        data[where] = value

    return _values(change)


file("scan", "all NaN", _set(..., NAN), "scan.nii")
file("scan", "all infinite", _set(..., INF), "scan.nii")
file("scan", "all the same", _set(..., 7), "scan.nii")
file("scan", "NaN inside", _set((15, 15, 20), NAN), "scan.nii")
file("scan", "infinite inside", _set((15, 15, 20), -INF), "scan.nii")
file("scan", "greys of 1e38", _set((slice(10, 20), 15), 3e38), "scan.nii")
file("scan", "greys of 1e-45", _set((slice(10, 20), 15), 1e-45), "scan.nii")
file("scan", "a single bright voxel", _set((15, 15, 20), 1e30), "scan.nii")


def linked(to: str, name: str = "scan.nii.gz"):
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(to)
        return folder / name

    return make


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


add("scan", "link to nothing", linked("nowhere"))
add("scan", "link to itself", linked("scan.nii.gz"))
add("scan", "link to zeros without end", linked("/dev/zero", "scan.nii"))
add("scan", "link to the passwords", linked("/etc/passwd", "scan.nii"))
add("scan", "pipe that nobody fills", fifo)
add("scan", "folder with a scan's name", lambda f: (f / "scan.nii.gz").mkdir() or f / "scan.nii.gz")
add("scan", "nothing of that name", lambda f: f / "scan.nii.gz")

NAMES = {
    "a newline": "line\nfeed.nii",
    "an escape": "\x1b[2J.nii",
    "umlauts": "Jürgen Müß.nii",
    "another script": "脊髄.nii",
    "a byte that is no text": os.fsdecode(b"caf\xe9.nii"),
    "200 letters": "a" * 200 + ".nii",
    "250 letters": "a" * 250 + ".nii",
    "a dash first": "--force.nii",
    "quotes": 'it\'s "so" $(true) `true`.nii',
    "dots only": "...nii",
    "no name": ".nii",
    "a formula": "=1+1.nii",
    "markup": "<script>alert(1)<_script>.nii",
    "a percent": "%s%n%d.nii",
    "a direction": "\u202egnp.nii",
}
for _name, _called in NAMES.items():
    file("scan", f"name of {_name}", plain, _called)


def _analyze(change=lambda header, data: (header, data)):
    def make(folder: Path) -> Path:
        image = nib.AnalyzeImage(tube().data.astype(np.int16), tube().affine)
        nib.save(image, folder / "scan.img")
        header, data = ((folder / f"scan.{end}").read_bytes() for end in ("hdr", "img"))
        for end, content in zip(("hdr", "img"), change(header, data), strict=True):
            if content is None:
                (folder / f"scan.{end}").unlink()
            else:
                (folder / f"scan.{end}").write_bytes(content)
        return folder / "scan.hdr"

    return make


add("scan", "analyze", _analyze())
add("scan", "analyze without voxels", _analyze(lambda h, d: (h, None)))
add("scan", "analyze of few voxels", _analyze(lambda h, d: (h, d[:99])))
add("scan", "analyze cut", _analyze(lambda h, d: (h[:99], d)))
add("scan", "analyze of large sizes", _analyze(lambda h, d: (h[:42] + b"\xff\x7f" * 3 + h[48:], d)))


def _mgh(start: dict[int, int], length: int | None = None) -> bytes:
    image = nib.MGHImage(tube().data.astype(np.int16), tube().affine)
    content = bytearray(image.to_bytes())
    for at, value in start.items():
        content[4 * at : 4 * at + 4] = struct.pack(">i", value)
    return bytes(content[:length])


for _name, _start, _length in (
    ("of large sizes", {1: 10**4, 2: 10**4, 3: 10**4}, None),
    ("of negative sizes", {1: -1}, None),
    ("of no size", {2: 0}, None),
    ("of many frames", {4: 10**6}, None),
    ("of an unknown type", {5: 99}, None),
    ("cut", {}, 1000),
    ("of a wrong version", {0: 7}, None),
):
    file("scan", f"mgh {_name}", lambda s=_start, n=_length: _mgh(s, n), "scan.mgh")
file("scan", "mgz bomb", lambda: _pack(_mgh({1: 9000, 2: 9000, 3: 9000})) + zeros(8192), "scan.mgz")
file("scan", "mgz bomb behind a scan", lambda: _pack(_mgh({})) + zeros(8192), "scan.mgz")
