"""Hostile models: zip files that are put together by hand, folders, and names of registered ones.

A forger knows how a model's file is sealed, and seals it anew.
"""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from hostile import add

from spinalroots.predict import archive, package
from spinalroots.predict.archive import MANIFEST

NAMES = [name for name in archive.REQUIRED if name != MANIFEST]


def sealed(content: bytes) -> bytes:
    """The file with a seal that fits its bytes."""
    end = content.rfind(archive._SEAL) + len(archive._SEAL)
    return content[:end] + sha256(content[:end]).hexdigest().encode()


def zipped(
    files: dict[str, bytes] | None = None,
    manifest: Any = None,
    more: Callable[[zipfile.ZipFile], None] = lambda archive: None,
    method: int = zipfile.ZIP_STORED,
) -> bytes:
    """A file like a model's, of a few bytes each."""
    files = dict.fromkeys(NAMES, b"{}") if files is None else files
    if manifest is None:
        described = {
            name: {"bytes": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in files.items()
        }
        manifest = {"format": 1, "spinalroots": "0", "name": "it", "files": described}
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        made.comment = archive._SEAL + b"0" * 64
        made.writestr(MANIFEST, text)
        for name, content in files.items():
            made.writestr(name, content)
        more(made)
    return sealed(stream.getvalue())


def entry(name: str, content: bytes = b"x", mode: int = 0o100644) -> Callable:
    def write(made: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.create_system = 3
        made.writestr(info, content)

    return write


def _many(made: zipfile.ZipFile) -> None:
    for _ in range(3000):
        made.writestr(NAMES[0], b"")


def _of(**fields: Any) -> dict:
    return {"format": 1, "spinalroots": "0", "name": "it", "files": {}, **fields}


def _bent(change: Callable[[bytearray, int], None]) -> Callable[[], bytes]:
    """The file with something else in its first central entry."""

    def content() -> bytes:
        data = bytearray(zipped())
        change(data, data.find(b"PK\1\2"))
        return sealed(bytes(data))

    return content


def _pack(at: int, form: str, value: int) -> Callable[[bytearray, int], None]:
    return lambda data, start: struct.pack_into(form, data, start + at, value)


CLIMBS = ("../out.json", "/tmp/out.json", "..\\out.json", "C:\\out.json", "export/../../out.json")
FILES: dict[str, Callable[[], bytes]] = {
    "as it should be, but empty": zipped,
    **{f"that climbs by {name}": lambda n=name: zipped(more=entry(n)) for name in CLIMBS},
    "with a link": lambda: zipped(more=entry("card.md", b"/etc/passwd", stat.S_IFLNK | 0o777)),
    "with a device": lambda: zipped(more=entry("card.md", b"", stat.S_IFCHR | 0o666)),
    "with a folder": lambda: zipped(more=entry("export/", b"")),
    "with a name twice": lambda: zipped(more=entry(NAMES[0], b"{}")),
    "with a name 3000 times": lambda: zipped(more=_many),
    "with a pickle": lambda: zipped(more=entry("model.pkl", b"\x80\x04cos\nsystem\n(S'true'\ntR.")),
    "with a program": lambda: zipped(more=entry("setup.py", b"raise SystemExit")),
    "with a name of bytes": lambda: zipped(
        more=entry("caf\udce9".encode("utf-8", "ignore").decode())
    ),
    "that is packed": lambda: zipped(method=zipfile.ZIP_DEFLATED),
    "that is a bomb": lambda: zipped(
        {**dict.fromkeys(NAMES, b"{}"), "card.md": bytes(2**26)}, method=zipfile.ZIP_DEFLATED
    ),
    "without weights": lambda: zipped({name: b"{}" for name in NAMES if "weights" not in name[:3]}),
    "without anything": lambda: zipped({}),
    "of another format": lambda: zipped(manifest=_of(format=99)),
    "of a format in words": lambda: zipped(manifest=_of(format="new")),
    "of no format": lambda: zipped(manifest={"name": "it"}),
    "of a name that climbs": lambda: zipped(manifest=_of(name="../it")),
    "of no name": lambda: zipped(manifest=_of(name="")),
    "of a name in a list": lambda: zipped(manifest=_of(name=["it"])),
    "of a list": lambda: zipped(manifest=[1, 2]),
    "of a number": lambda: zipped(manifest=b"12"),
    "of no JSON": lambda: zipped(manifest=b"{"),
    "of deep JSON": lambda: zipped(manifest=b"[" * 10**5),
    "of a long number": lambda: zipped(manifest=b"1" * 10**5),
    "of NaN": lambda: zipped(manifest=b'{"format": NaN}'),
    "of UTF-16": lambda: zipped(manifest="{}".encode("utf-16")),
    "of files that are none": lambda: zipped(
        manifest=_of(files={"../x": {"bytes": 1, "sha256": "0"}})
    ),
    "of other hashes": lambda: zipped(manifest=_described(sha256="0" * 64)),
    "of other sizes": lambda: zipped(manifest=_described(bytes=10**12)),
    "of negative sizes": lambda: zipped(manifest=_described(bytes=-1)),
    "of an entry elsewhere": _bent(_pack(42, "<I", 2**31)),
    "of an entry at its end": _bent(_pack(42, "<I", 0xFFFFFFFF)),
    "of a size of 4 GB": _bent(_pack(24, "<I", 0xFFFFFFFF)),
    "of two sizes": _bent(_pack(24, "<I", 10**9)),
    "of an unknown packing": _bent(_pack(10, "<H", 99)),
    "with a password": _bent(_pack(8, "<H", 1)),
    "of a long name": _bent(_pack(28, "<H", 60000)),
    "of a name that is no UTF-8": _bent(
        lambda d, s: (_pack(8, "<H", 0x800)(d, s), _pack(46, "B", 0xFF)(d, s))
    ),
    "of a false mark": _bent(_pack(0, "<I", 0)),
    "that was cut": lambda: zipped()[:-30],
    "that was changed": lambda: zipped().replace(b'"name"', b'"nane"', 1),
    "of bytes before it": lambda: sealed(b"#!/bin/sh\n" + zipped()),
    "of nothing": lambda: b"",
    "of text": lambda: b"a model, honestly\n",
    "of a pickle alone": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


def _described(**changed: Any) -> dict:
    own = {"bytes": 2, "sha256": sha256(b"{}").hexdigest(), **changed}
    return _of(files=dict.fromkeys(NAMES, own))


for _name, _content in FILES.items():

    def _make(folder: Path, content=_content) -> Path:
        path = folder / "model.zip"
        path.write_bytes(content())
        return path

    add("model file", f"zip {_name}", _make)

RECORDS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "deep JSON": b'{"a":' * 10**4,
    "another format": b'{"format": 2}',
    "a long number": b'{"format": ' + b"1" * 5000 + b"}",
    "other settings": b'{"format": 1, "spinalroots": "0", "settings": {}, "export": null}',
    "a mark of UTF-16": b"\xff\xfe{\0}\0",
    "Latin-1": '{"name": "Müller"}'.encode("latin-1"),
}
for _name, _record in RECORDS.items():

    def _folder(folder: Path, record=_record) -> Path:
        (folder / "it").mkdir()
        (folder / "it" / package.PACKAGE).write_bytes(record)
        return folder / "it"

    add("model", f"folder of {_name}", _folder)

for _uri in (
    *("models:/", "models:/nobody@champion", "models:/../../etc/passwd", "models:/x\n/1"),
    *("", ".", "..", "/dev/null", "/etc/passwd", "a" * 300, "https://127.0.0.1:1/model.zip", "%00"),
):
    add("model", f"name {_uri[:40]!r}", lambda folder, uri=_uri: uri)
