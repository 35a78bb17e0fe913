"""One file at a time, locks that end with their process, and errors of a place in words."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinalroots.errors import InputError
from spinalroots.files.text import parsed_json, read_some

if TYPE_CHECKING:
    import pandas as pd

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_HARDLY_ANYTHING = 2**22
"""Bytes: with less a disk is full."""


def _elsewhere() -> tuple[Path, ...]:
    """Where libraries put what they need for a while."""
    return Path(tempfile.gettempdir()), Path("/dev/shm")


_HELD: set[tuple[Path, int]] = set()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for `path`, and hold the others off.

    Whoever is in one may enter another.
    """
    path = Path(os.path.abspath(path))
    mine = (path, threading.get_ident())
    if mine in _HELD:
        yield
        return
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock")
        handle = locked(lock)
    _HELD.add(mine)
    try:
        yield
    finally:
        _HELD.remove(mine)
        lock.unlink(missing_ok=True)
        os.close(handle)


def locked(path: Path) -> int:
    """A descriptor of a file that no one else holds; the file is made if need be.

    Waits for whoever holds it. Where the file system has no locks, everyone is alone.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # renamed or removed by the one who held it: once more
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)


@contextmanager
def told(path: Path, only: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn errors of the place that is written to into words.

    :param only: of these codes; they may come from another place too, which is named then.
    """
    try:
        yield
    except OSError as error:
        if only and error.errno not in only:
            raise
        if only:
            path = next(filter(partial(_to_blame, error.errno), (path, *_elsewhere())), path)
        found, fix = error.strerror or str(error), "Give another place, or make it writable."
        if error.errno in FULL[:2]:
            fix = "Free some space, or give another place."
            sys.dont_write_bytecode = True  # half of it would stay (see spinalroots/__init__.py)
        elif error.errno == errno.ENAMETOOLONG:
            found, fix = "a name that is too long for the file system", "Use a shorter one."
        elif error.errno in (errno.EBUSY, errno.EXDEV):
            found = "a mount point, which cannot be replaced"
            fix = "Put a link to a folder on that disk in its place."
        raise InputError(
            path,
            expected="a place that can be written to",
            found=found,
            fix=f"{fix} Nothing was kept.",
        ) from error


def _to_blame(code: int | None, place: Path) -> bool:
    """Whether nothing fits into a place, or it is read-only."""
    with suppress(OSError):
        state = os.statvfs(place)
        if code == errno.EROFS:
            return bool(state.f_flag & os.ST_RDONLY)
        return state.f_bavail * state.f_frsize < _HARDLY_ANYTHING
    return False


def write_bytes(path: Path, payload: bytes) -> None:
    """Write `payload` to `path` through a hidden neighbour and a rename.

    :raises InputError: the place cannot be written to.
    """
    path = Path(path)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        with os.fdopen(locked(temporary), "wb") as stream:
            try:
                stream.truncate()  # what a killed run left
                stream.write(payload)
                stream.flush()
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; a byte of a file's name that is no text, as JSON escapes it."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: two spaces, keys as given, a newline at the end."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_table(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table as CSV atomically, without its index."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format=float_format))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    :raises ValueError: it is none. Of a person's file, :func:`~spinalroots.files.text.read_object`
        tells that in words.
    """
    return parsed_json(read_some(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
