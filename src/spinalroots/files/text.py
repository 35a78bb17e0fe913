"""Text as people's programs save it: UTF-8 with or without a mark, UTF-16."""

import codecs
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spinalroots.errors import InputError, require_file

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

MOST_BYTES = 64 * 2**20
"""Of a text file; more is no table, no list of parameters and no record."""


def read_text(path: Path) -> str:
    """A text file's content, its encoding told by the mark at its beginning, else UTF-8.

    :raises InputError: another encoding, such as the Latin-1 that older versions of Excel save, or
        more than :data:`MOST_BYTES`.
    """
    content = read_some(path)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}",
            expected="text in UTF-8",
            found="another encoding (Windows-1252 or Latin-1, most likely)",
            fix="Save it again as UTF-8 (Excel: CSV UTF-8; Notepad: Encoding, UTF-8).",
        ) from error


def read_some(path: Path) -> bytes:
    """The bytes of a file that holds text.

    :raises InputError: more than :data:`MOST_BYTES`.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(
            path,
            expected=f"text of at most {MOST_BYTES // 2**20} MB",
            found="more",
            fix="Give another file.",
        )
    return content


def parsed_json(content: bytes) -> Any:
    """The value of JSON in UTF-8.

    :raises ValueError: it is none, or nested so deeply that nobody meant it.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("lists within lists without end") from error


def read_object(path: Path, *, expected: str, fix: str) -> dict[str, Any]:
    """The JSON object in a file.

    :raises InputError: no such file, or something else in it.
    """
    require_file(Path(path), expected=expected, fix=fix)
    try:
        found = parsed_json(read_some(path))
    except ValueError as error:
        raise InputError(path, expected=expected, found=f"no JSON ({error})", fix=fix) from error
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise InputError(path, expected=expected, found=f"JSON of a {kind}", fix=fix)
    return found


@contextmanager
def as_table(path: Path) -> Iterator[None]:
    """Turn what `csv` cannot read in the block into words."""
    try:
        yield
    except csv.Error as error:
        raise InputError(
            path,
            expected="a table",
            found=f"something else ({error})",
            fix="Save it again as CSV UTF-8, or restore it.",
        ) from error
