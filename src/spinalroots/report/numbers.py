"""Numbers and other values as the page shows them."""

from __future__ import annotations

import math
from typing import Any


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
