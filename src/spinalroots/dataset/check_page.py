"""The check as a page to read and a record to compare."""

from __future__ import annotations

from collections import Counter
from html import escape

from spinalroots.dataset.check import CaseCheck
from spinalroots.errors import InputError

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-size: .9em; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.finding { color: #a33; } .quiet { color: #777; } summary { cursor: pointer; }
"""


def record(cases: list[CaseCheck]) -> dict:
    """reports/check.json: totals, findings by kind, and every case."""
    kinds = Counter(finding.kind for case in cases for finding in case.findings)
    return {
        "cases": len(cases),
        "findings": sum(kinds.values()),
        "findings_by_kind": dict(sorted(kinds.items())),
        "by_case": {case.name: case.as_dict() for case in cases},
    }


def require_clean(cases: list[CaseCheck]) -> None:
    """:class:`InputError` that lists every finding, if there are any."""
    lines = [f"{case.name}: {finding.what}" for case in cases for finding in case.findings]
    if lines:
        shown = "; ".join(lines[:20]) + (f"; … ({len(lines)} in all)" if len(lines) > 20 else "")
        raise InputError(
            "data/raw",
            expected="scans and masks without findings (check.strict)",
            found=shown,
            fix="Correct them (reports/check.html shows all), or set check.strict to false.",
        )


def page(cases: list[CaseCheck]) -> str:
    """reports/check.html: an overview, then every case with its labels."""
    rows = "".join(_overview_row(case) for case in cases)
    details = "".join(_details(case) for case in cases)
    findings = sum(len(case.findings) for case in cases)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Check of the raw data'
        f"</title><style>{_STYLE}</style></head><body><h1>Check of the raw data</h1>"
        f"<p>{len(cases)} cases, {findings} findings.</p><table><tr><th>case</th><th>source</th>"
        "<th>stored as</th><th>shape</th><th>voxel, mm</th><th>levels</th><th>roots</th>"
        f"<th>findings</th></tr>{rows}</table>{details}</body></html>\n"
    )


def _overview_row(case: CaseCheck) -> str:
    count = len(case.findings)
    mark = f'<td class="number finding">{count}</td>' if count else '<td class="number">0</td>'
    cells = "".join(
        f"<td>{text}</td>"
        for text in (
            f'<a href="#{case.name}">{case.name}</a>',
            case.source,
            case.orientation,
            "×".join(map(str, case.shape)),
            "×".join(f"{edge:.3g}" for edge in case.voxel_mm),
            _labels_in(case, "levels"),
            _labels_in(case, "individuals"),
        )
    )
    return f"<tr>{cells}{mark}</tr>"


def _labels_in(case: CaseCheck, scheme: str) -> str:
    names = {name for entry in case.maps if entry.scheme == scheme for name in entry.voxels}
    return str(len(names)) if names else "–"


def _details(case: CaseCheck) -> str:
    findings = "".join(
        f'<li class="finding"><b>{escape(entry.kind)}</b> {escape(entry.what)}</li>'
        for entry in case.findings
    )
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
    heading = f'<h2 id="{case.name}">{case.name}</h2>'
    shown = f"<ul>{findings}</ul>" if findings else '<p class="quiet">Nothing to call out.</p>'
    return f"{heading}{shown}<table>{mismatch}</table>{tables}"


def _label_rows(entry) -> str:
    return "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{count}</td>'
        f'<td class="number">{entry.islands[name]}</td></tr>'
        for name, count in entry.voxels.items()
    )
