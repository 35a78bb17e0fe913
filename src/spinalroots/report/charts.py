"""Charts as inline SVG: they take the page's own colours, light or dark, and stay sharp.

Colours are CSS classes that the page styles; nothing is loaded. `templates/charts.svg.j2` draws.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spinalroots.report.page import template


@dataclass(frozen=True)
class Strip:
    """One row of a strip chart: a dot per case, the mean, its interval, and a value to compare."""

    name: str
    values: Sequence[float]
    mean: float
    low: float
    high: float
    other: float | None = None


def strip_chart(strips: Sequence[Strip], axis: str) -> str:
    """SVG: a row per strip, dots for cases, a bar with whiskers for mean and interval, a diamond
    for the other value; the axis runs from 0 to 1."""
    return _drawn("strips", strips, axis)


def heat_grid(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], name: str
) -> str:
    """SVG: a cell per row and column, tinted by its value 0..1 and labelled with it.

    None is a cell that the row does not have; NaN one that is absent from reference and prediction.
    """
    return _drawn("heat", rows, columns, values, name)


def curves(
    lines: Mapping[str, Sequence[float] | Sequence[tuple[float, float]]],
    x_name: str,
    y_name: str,
    *,
    unit_square: bool = False,
) -> str:
    """SVG: a line per name, its name at the right end of the legend.

    :param lines: y values at x = 1, 2, …, or (x, y) pairs.
    :param unit_square: both axes run from 0 to 1 and the diagonal is drawn.
    """
    points = {name: _finite_pairs(values) for name, values in lines.items()}
    every = [pair for pairs in points.values() for pair in pairs]
    if unit_square or not every:
        every = [(0.0, 0.0), (1.0, 1.0)]
    x_range, y_range = map(_range, zip(*every, strict=True))
    return _drawn("curves", points, x_range, y_range, x_name, y_name, unit_square)


def _drawn(macro: str, *given: object) -> str:
    return str(getattr(template("charts.svg.j2").module, macro)(*given))


def _finite_pairs(values: Sequence) -> list[tuple[float, float]]:
    """(x, y) pairs, those that are not finite left out."""
    pairs = [one if isinstance(one, tuple) else (place, one) for place, one in enumerate(values, 1)]
    return [pair for pair in pairs if all(map(math.isfinite, pair))]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)
