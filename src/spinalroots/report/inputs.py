"""Results as they lie on disk, each of which may not be there yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spinalroots.files import read_json


@dataclass(frozen=True)
class Shelf:
    """Reads below a repository's root; everything missing is None or empty."""

    root: Path

    def table(self, name: str) -> pd.DataFrame | None:
        """A CSV file; None if it is missing or empty."""
        path = Path(self.root) / name
        if not path.is_file() or not path.stat().st_size:
            return None
        try:
            table = pd.read_csv(path)
        except pd.errors.EmptyDataError:
            return None
        return table if len(table) else None

    def json(self, name: str) -> Any | None:
        """A JSON file; None if it is missing."""
        path = Path(self.root) / name
        return read_json(path) if path.is_file() else None

    def files(self, *patterns: str) -> list[Path]:
        """Files that match any of the glob patterns, each once, sorted within a pattern."""
        found: dict[Path, None] = {}
        for pattern in patterns:
            found |= dict.fromkeys(sorted(Path(self.root).glob(pattern)))
        return list(found)


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is shown; a dash for a missing one, ∞ for an infinite one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:.{digits}f}"


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
