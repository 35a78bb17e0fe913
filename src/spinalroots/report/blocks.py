"""What a page is made of: sections of tables, pictures, drawings and remarks; numbers as shown."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

Found = TypeVar("Found")


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


@dataclass(frozen=True)
class Drawing:
    """Inline SVG markup, made here and trusted."""

    svg: str
    caption: str
    block: str = "drawing"


@dataclass(frozen=True)
class Card:
    """A link to a page beside this one, with what to know before opening it."""

    link: str
    title: str
    facts: Sequence[tuple[str, str]]
    remark: str = ""


@dataclass(frozen=True)
class Cards:
    """Links side by side."""

    cards: Sequence[Card]
    block: str = "cards"


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


def section(name: str, title: str) -> Callable[[Callable[..., Iterator]], Callable[..., Section]]:
    """Make a section of a function that yields its blocks.

    Where the function asks for something :func:`needed` that is not there yet, it ends with the
    line that says which stage makes it.
    """

    def of(blocks_of: Callable[..., Iterator]) -> Callable[..., Section]:
        @wraps(blocks_of)
        def filled(*given: Any) -> Section:
            found = Section(name, title)
            try:
                for block in blocks_of(*given):
                    found.blocks.append(block)
            except _NotYet as lack:
                found.blocks.append(missing(*lack.args))
            return found

        return filled

    return of


def needed(found: Found | None, what: str, stage: str) -> Found:
    """`found`; where it is None the section ends with the line that `stage` makes `what`."""
    if found is None:
        raise _NotYet(what, stage)
    return found


def missing(what: str, stage: str) -> Text:
    """The line that stands where a file is not there yet."""
    return Text(f"No {what} yet: `dvc repro {stage}` makes it.", kind="missing")


class _NotYet(Exception):
    """What is missing, and the stage that makes it."""


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is shown; a dash for a missing one, ∞ for an infinite one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:.{digits}f}"


def percent(share: float, digits: int = 1) -> str:
    """A share as it is shown, in per cent."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"


def signed(value: float, digits: int = 3) -> str:
    """A difference as it is shown, with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def mean_sd(mean: float, sd: float, digits: int = 3) -> str:
    """`0.311 ± 0.165`."""
    return f"{number(mean, digits)} ± {number(sd, digits)}"


def cell(value: Any) -> str:
    """Any value of a CSV as a table cell; up to four significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
