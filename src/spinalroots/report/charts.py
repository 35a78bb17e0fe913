"""Charts as inline SVG: they take the page's own colours, light or dark, and stay sharp.

Colours are CSS classes that the page styles; nothing is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_ROW = 34
_LABEL_WIDTH = 370
_PLOT_WIDTH = 500
_TOP = 30


@dataclass(frozen=True)
class Strip:
    """One row of a strip chart: a dot per case, the mean, its interval, and a value to compare."""

    name: str
    values: Sequence[float]
    mean: float
    low: float
    high: float
    other: float | None = None


def strip_chart(strips: Sequence[Strip], axis: str, low: float = 0.0, high: float = 1.0) -> str:
    """SVG: a row per strip, dots for cases, a bar with whiskers for mean and interval, a diamond
    for the other value."""

    def x(value: float) -> float:
        return _LABEL_WIDTH + _PLOT_WIDTH * (min(max(value, low), high) - low) / (high - low)

    height = _TOP + _ROW * len(strips) + 34
    parts = []
    for step in range(6):
        value = low + (high - low) * step / 5
        parts.append(_line(x(value), _TOP - 8, x(value), height - 32, "grid"))
        parts.append(_text(x(value), height - 16, f"{value:g}", "faint", "middle"))
    parts.append(_text(_LABEL_WIDTH + _PLOT_WIDTH, 14, axis, "faint", "end"))
    for index, strip in enumerate(strips):
        y = _TOP + _ROW * (index + 0.5)
        parts.append(_text(_LABEL_WIDTH - 14, y + 4, strip.name, "ink", "end"))
        if math.isfinite(strip.low) and math.isfinite(strip.high):
            parts.append(_line(x(strip.low), y, x(strip.high), y, "interval"))
        for value in strip.values:
            if math.isfinite(value):
                parts.append(
                    f'<circle class="dot" cx="{x(value):.1f}" cy="{y:.1f}" r="4">'
                    f"<title>{value:.3f}</title></circle>"
                )
        if math.isfinite(strip.mean):
            parts.append(_line(x(strip.mean), y - 9, x(strip.mean), y + 9, "mean"))
        if strip.other is not None:
            centre = x(strip.other)
            parts.append(
                f'<path class="other" d="M{centre:.1f} {y - 6:.1f}l6 6l-6 6l-6-6z">'
                f"<title>{strip.other:.3f}</title></path>"
            )
    return _svg(_LABEL_WIDTH + _PLOT_WIDTH + 20, height, parts, axis)


def heat_grid(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    name: str,
) -> str:
    """SVG: a cell per row and column, tinted by its value 0..1 and labelled with it.

    None is a cell that the row does not have; NaN one that is absent from reference and prediction.
    """
    width = _PLOT_WIDTH / len(columns)
    parts = []
    for index, column in enumerate(columns):
        centre = _LABEL_WIDTH + (index + 0.5) * width
        parts.append(_text(centre, _TOP - 10, column, "faint", "middle"))
    for row, line in enumerate(values):
        y = _TOP + row * _ROW
        parts.append(_text(_LABEL_WIDTH - 14, y + _ROW / 2 + 4, rows[row], "ink", "end"))
        for place, value in enumerate(line):
            x = _LABEL_WIDTH + place * width
            if value is None:
                continue
            empty = math.isnan(value)
            share = 0 if empty else round(100 * min(max(value, 0), 1))
            parts.append(
                f'<rect class="cell" x="{x + 1:.1f}" y="{y + 1:.1f}" width="{width - 2:.1f}" '
                f'height="{_ROW - 2}" rx="3" style="--share:{share}%"/>'
            )
            strong = "cell-strong" if share > 60 else "cell-text"
            shown = "–" if empty else f"{value:.2f}"
            parts.append(_text(x + width / 2, y + _ROW / 2 + 4, shown, strong, "middle"))
    return _svg(_LABEL_WIDTH + _PLOT_WIDTH + 20, _TOP + _ROW * len(rows) + 8, parts, name)


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
    points = {
        name: [
            pair
            for pair in (
                value if isinstance(value, tuple) else (index, value)
                for index, value in enumerate(values, start=1)
            )
            if math.isfinite(pair[0]) and math.isfinite(pair[1])
        ]
        for name, values in lines.items()
    }
    every = [pair for values in points.values() for pair in values] or [(0, 0), (1, 1)]
    x_low, x_high = (0.0, 1.0) if unit_square else _range([pair[0] for pair in every])
    y_low, y_high = (0.0, 1.0) if unit_square else _range([pair[1] for pair in every])
    left, width, height = 60, 460, 260

    def place(pair: tuple[float, float]) -> str:
        x = left + width * (pair[0] - x_low) / (x_high - x_low)
        y = _TOP + height * (y_high - pair[1]) / (y_high - y_low)
        return f"{x:.1f} {y:.1f}"

    parts = []
    for step in range(5):
        y = _TOP + height * step / 4
        value = y_high - (y_high - y_low) * step / 4
        parts.append(_line(left, y, left + width, y, "grid"))
        parts.append(_text(left - 8, y + 4, f"{value:.2g}", "faint", "end"))
    for share in (0, 0.5, 1):
        x, value = left + width * share, x_low + (x_high - x_low) * share
        parts.append(_text(x, _TOP + height + 20, f"{value:.3g}", "faint", "middle"))
    parts.append(_text(left + width, _TOP + height + 40, x_name, "faint", "end"))
    parts.append(_text(left - 40, 14, y_name, "faint", "start"))
    if unit_square:
        parts.append(_line(left, _TOP + height, left + width, _TOP, "grid"))
    for index, (name, values) in enumerate(points.items()):
        style = f"curve curve-{index % 7}"
        if values:
            path = "M" + "L".join(place(pair) for pair in values)
            parts.append(f'<path class="{style}" d="{path}"/>')
        y = _TOP + 12 + 22 * index
        parts.append(f'<path class="{style}" d="M{left + width + 24} {y}h22"/>')
        parts.append(_text(left + width + 54, y + 4, name, "ink", "start"))
    return _svg(_LABEL_WIDTH + _PLOT_WIDTH + 20, _TOP + height + 48, parts, y_name)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _svg(width: float, height: float, parts: Sequence[str], name: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(name)}">'
        + "".join(parts)
        + "</svg>"
    )


def _text(x: float, y: float, text: str, style: str, anchor: str) -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
