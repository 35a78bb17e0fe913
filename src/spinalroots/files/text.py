"""Text as people's programs save it: UTF-8 with or without a mark, UTF-16."""

import codecs
from pathlib import Path

from spinalroots.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """A text file's content, its encoding told by the mark at its beginning, else UTF-8.

    :raises InputError: another encoding, such as the Latin-1 that older versions of Excel save.
    """
    content = Path(path).read_bytes()
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
