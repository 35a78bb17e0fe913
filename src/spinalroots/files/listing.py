"""The list in a folder of what was written there, and what is there."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from spinalroots.files.single import sha256

LIST = ".spinalroots"
"""A line of JSON a file: its name and, in a person's folder, its SHA-256 and what it was made of.
Lines are only ever added, so that a kill takes none of them away."""
HIDDEN = f"{LIST}."
"""How the names of folders begin that hold files on their way."""


def names(folder: Path) -> list[str]:
    """Files and links below `folder`, relative to it; neither the list nor what is on its way."""
    found = (
        path.relative_to(folder)
        for path in Path(folder).rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
    return sorted(
        path.as_posix()
        for path in found
        if path.as_posix() != LIST and not path.parts[0].startswith(HIDDEN)
    )


def listed(folder: Path) -> dict[str, list[dict]]:
    """Name → its lines in the folder's list; a line that a kill cut short is left out."""
    path = Path(folder) / LIST
    found: dict[str, list[dict]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError, KeyError, TypeError):
            line = json.loads(text)
            found.setdefault(line["file"], []).append(line)
    return found


def append(folder: Path, lines: Iterable[dict]) -> None:
    """Add lines to the folder's list, on a line of their own whatever the last one looks like."""
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    if text:
        with (Path(folder) / LIST).open("ab") as stream:
            stream.write(
                (f"\n{text}" if stream.tell() else text).encode("utf-8", "backslashreplace")
            )


def wrote(lines: list[dict], path: Path, of: str | None) -> bool:
    """Whether the file at `path` is, to the byte, one of `lines` that was made `of` this."""
    own = {line["sha256"] for line in lines if line.get("of", "") == of}
    return bool(own) and os.path.isfile(path) and sha256(path) in own
