"""A folder of the pipeline's own, replaced whole; and the hidden folders that files come from."""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.files.listing import HIDDEN, LIST, append, listed, names
from spinalroots.files.single import FULL, locked, read_json, sha256, told

OVER = "over.json"
"""Beside files on their way: name → SHA-256 of the file that each is to replace."""


@contextmanager
def folder_in_one_piece(path: Path) -> Iterator[Path]:
    """Yield an empty folder; on success it takes the place of `path` whole.

    Only for the pipeline's own folders, whose old content is worth nothing: a folder that holds a
    file which no earlier run listed as its own is refused, before and after the body. A link to a
    folder stays, and its target is replaced. When the body raises or is killed, the old folder is
    there (killed in the very last moment: as soon as the next run begins beside it).

    :raises InputError: naming the file that is not the pipeline's, or what keeps `path` from being
        written.
    """
    path = Path(path)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.realpath(path))
        if os.path.ismount(target):
            raise OSError(errno.EBUSY, "a mount point")
    with staging(target.parent) as place:
        _require_own(target)
        yield place / "new"
        _require_own(target)
        with told(path):
            append(place / "new", [{"file": name} for name in names(place / "new")])
            _swap(place / "new", target, place / "old")


def _swap(new: Path, target: Path, aside: Path) -> None:
    """Put `new` in the place of `target`, which goes below `aside`, or comes back from there."""
    old = aside / target.name
    aside.mkdir()
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise


def _require_own(folder: Path) -> None:
    own = listed(folder)
    found = names(folder) if folder.is_dir() else ["."] if folder.exists() else []
    for name in found:
        if name not in own:
            raise InputError(
                folder / name,
                expected="a folder that holds nothing but results of the pipeline",
                found="a file that the pipeline did not write, and it would be lost",
                fix=f"Move it, or the whole of {folder}, to another place.",
            )


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A hidden folder in `parent` with an empty folder ``new`` in it, gone after the block.

    What killed runs left in `parent` is tidied up before. Errors of a full disk are told.
    """
    with told(parent):
        _tidy(parent)
        place, lock = _claim(parent)
    try:
        with told(parent, only=FULL):
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _claim(parent: Path) -> tuple[Path, int]:
    while True:
        place = parent / f"{HIDDEN}{secrets.token_hex(4)}"
        place.mkdir()
        try:
            lock = locked(place / "lock")
            (place / "new").mkdir()
        except FileNotFoundError:  # tidied up by another before it was locked
            continue
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return place, lock


def tidied(folder: Path) -> None:
    """Finish or undo what killed runs began in `folder`, before its files are read.

    :func:`spinalroots.files.files_together` does it too, but for files that it is about to write.
    """
    with told(folder):
        _tidy(folder)
    with suppress(OSError):  # none, or another one is writing
        lock = os.open(folder / LIST, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(lock).st_size:  # made by a killed run to hold off the others
                (folder / LIST).unlink()
        finally:
            os.close(lock)


def _tidy(parent: Path) -> None:
    """Finish or undo what killed runs began in `parent`; a live one holds its lock."""
    for place in parent.glob(f"{HIDDEN}*"):
        with suppress(OSError):  # alive, another user's, or just gone
            lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for old in (place / "old").glob("*"):
                    if not (parent / old.name).exists():
                        os.replace(old, parent / old.name)
                _go_on(place, parent)
                shutil.rmtree(place)
            finally:
                os.close(lock)


def _go_on(place: Path, folder: Path) -> None:
    """Move up what a kill kept from moving, but over nothing that was changed since."""
    over = read_json(place / OVER) if (place / OVER).is_file() else {}
    for name in names(place / "ready"):
        path = folder / name
        if os.path.lexists(path) and not (path.is_file() and sha256(path) == over.get(name)):
            (place / "ready" / name).unlink()
    move_up(place / "ready", folder)


def move_up(ready: Path, folder: Path) -> None:
    """Move the files below `ready` to their names below `folder`."""
    for name in names(ready):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(ready / name, folder / name)
