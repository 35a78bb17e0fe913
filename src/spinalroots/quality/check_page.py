"""The check as a page to read and a record to compare."""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.quality.check import CaseCheck, Finding, MapCheck
from spinalroots.quality.check_roots import roots_table

_GRAVE = ("image", "geometry", "side", "mismatch", "empty")
"""Findings that say that something is wrong, not only that something is missing or small."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem; padding: 0 1rem;
  color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-size: .9em; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd;
  vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.grave { color: #b3261e; font-weight: 600; } .mild { color: #8a5a00; } .quiet { color: #777; }
summary { cursor: pointer; }
.roots { font-size: .8em; } .roots th { padding: 0 .15rem; text-align: center; }
.roots td { width: 1.35rem; height: 1.35rem; padding: 0; text-align: center;
  border: 1px solid #fff; }
.roots td.name { width: auto; padding-right: .8rem; text-align: left; white-space: nowrap; }
.drawn { background: #b9d7c2; } .level { background: #d5dbe8; } .tiny { background: #f2c46d; }
.side { background: #b3261e; color: #fff; } .absent { background: #f3f3f3; }
.key span { display: inline-block; padding: 0 .5rem; margin-right: .6rem; }
article { display: flex; gap: 2rem; border-top: 2px solid #222; margin-top: 2rem; }
article img { height: 22rem; image-rendering: pixelated; }
article > div { flex: 1; }
"""


def record(cases: list[CaseCheck]) -> dict:
    """The record as plain values: totals, findings by kind, and every case."""
    kinds = Counter(finding.kind for case in cases for finding in case.findings)
    return {
        "cases": len(cases),
        "findings": sum(kinds.values()),
        "findings_by_kind": dict(sorted(kinds.items())),
        "by_case": {case.name: case.as_dict() for case in cases},
    }


def require_clean(cases: list[CaseCheck], raw: Path, shown_at: Path) -> None:
    """:class:`InputError` that lists every finding, if there are any.

    :param raw: where the cases lie; `shown_at` is the page that shows all.
    """
    lines = [f"{case.name}: {finding.what}" for case in cases for finding in case.findings]
    if lines:
        shown = "; ".join(lines[:20]) + (f"; … ({len(lines)} in all)" if len(lines) > 20 else "")
        raise InputError(
            raw,
            expected="scans and masks without findings (check.strict)",
            found=shown,
            fix=f"Correct them ({shown_at} shows all), or set check.strict to false.",
        )


def page(cases: list[CaseCheck]) -> str:
    """HTML: what to look at first, every root of every case, then case by case."""
    ordered = sorted(cases, key=lambda case: (-_weight(case), case.name))
    rows = "".join(_overview_row(case) for case in ordered)
    details = "".join(_details(case) for case in ordered)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Check of the raw data'
        f"</title><style>{_STYLE}</style></head><body><h1>Check of the raw data</h1>"
        f"{_headline(ordered)}<table><tr><th>case</th><th>what was found</th><th>source</th>"
        "<th>stored as</th><th>shape</th><th>voxel, mm</th><th>levels</th><th>roots</th></tr>"
        f"{rows}</table>{roots_table(ordered)}{details}</body></html>\n"
    )


def _weight(case: CaseCheck) -> int:
    """Grave findings come before all others."""
    return sum(1000 if finding.kind in _GRAVE else 1 for finding in case.findings)


def _headline(cases: list[CaseCheck]) -> str:
    grave = sum(_weight(case) >= 1000 for case in cases)
    mild = sum(0 < _weight(case) < 1000 for case in cases)
    return (
        f'<p>{len(cases)} cases: <span class="grave">{grave} to look at first</span>, '
        f'<span class="mild">{mild} with something small or missing</span>, '
        f"{len(cases) - grave - mild} without findings. The worst come first.</p>"
    )


def _overview_row(case: CaseCheck) -> str:
    cells = "".join(
        f"<td>{text}</td>"
        for text in (
            f'<a href="#{case.name}">{case.name}</a>',
            "<br>".join(map(_finding, case.findings)) or '<span class="quiet">nothing</span>',
            case.source,
            case.orientation,
            "×".join(map(str, case.shape)),
            "×".join(f"{edge:.3g}" for edge in case.voxel_mm),
            _labels_in(case, "levels"),
            _labels_in(case, "individuals"),
        )
    )
    return f"<tr>{cells}</tr>"


def _finding(finding: Finding) -> str:
    css = "grave" if finding.kind in _GRAVE else "mild"
    return f'<span class="{css}">{escape(finding.kind)}: {escape(finding.what)}</span>'


def _labels_in(case: CaseCheck, scheme: str) -> str:
    names = {name for entry in case.maps if entry.scheme == scheme for name in entry.voxels}
    return str(len(names)) if names else "–"


def _details(case: CaseCheck) -> str:
    findings = "".join(f"<li>{_finding(entry)}</li>" for entry in case.findings)
    mismatch = "".join(
        f'<tr><td class="number">{share:.1%}</td><td>of {escape(key)}</td></tr>'
        for key, share in case.mismatch.items()
    )
    tables = "".join(
        f"<details><summary>{escape(entry.title)}: {len(entry.voxels)} labels, "
        f"{sum(entry.voxels.values())} voxels</summary><table><tr><th>label</th><th>voxels</th>"
        f"<th>islands</th></tr>{_label_rows(entry)}</table></details>"
        for entry in case.maps
    )
    shown = f"<ul>{findings}</ul>" if findings else '<p class="quiet">Nothing to call out.</p>'
    picture = f'<img src="{case.picture}" alt="{case.name} from the front and the side">'
    return (
        f'<article id="{case.name}">{picture if case.picture else ""}<div><h2>{case.name}</h2>'
        f"{shown}<table>{mismatch}</table>{tables}</div></article>"
    )


def _label_rows(entry: MapCheck) -> str:
    return "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{count}</td>'
        f'<td class="number">{entry.islands[name]}</td></tr>'
        for name, count in entry.voxels.items()
    )
