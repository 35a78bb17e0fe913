"""What a page is made of: sections of tables, pictures, drawings and remarks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is `plain`, `caution`, `missing` or `source` (as it is)."""

    text: str
    kind: str = "plain"
    block: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows of cells as they are shown; columns of words are aligned left, all others right."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str = ""
    strong_row: int | None = None
    block: str = "table"

    @property
    def words(self) -> list[bool]:
        """Whether most filled cells of a column begin with a letter."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.headers)
        filled = [[cell for cell in column if cell not in ("", "–")] for column in columns]
        return [2 * sum(cell[0].isalpha() for cell in cells) > len(cells) for cells in filled]


@dataclass(frozen=True)
class Picture:
    """An image inside the page, as a data URI."""

    uri: str
    caption: str
    block: str = "picture"

    @classmethod
    def of_bytes(cls, payload: bytes, caption: str, suffix: str = ".png") -> Picture:
        """Picture of encoded image bytes."""
        text = base64.b64encode(payload).decode("ascii")
        return cls(f"data:{MEDIA_TYPES[suffix]};base64,{text}", caption)

    @classmethod
    def of_file(cls, path: Path, caption: str) -> Picture:
        """Picture of an image file."""
        return cls.of_bytes(Path(path).read_bytes(), caption, Path(path).suffix.lower())


@dataclass(frozen=True)
class Drawing:
    """Inline SVG markup, made here and trusted."""

    svg: str
    caption: str
    block: str = "drawing"


@dataclass(frozen=True)
class Folded:
    """Blocks behind a heading that a reader opens."""

    title: str
    blocks: list
    block: str = "folded"


@dataclass(frozen=True)
class Section:
    """A heading with blocks; `name` is its anchor."""

    name: str
    title: str
    blocks: list = field(default_factory=list)


def missing(what: str, stage: str) -> Text:
    """The line that stands where a file is not there yet."""
    return Text(f"No {what} yet: `dvc repro {stage}` makes it.", kind="missing")
