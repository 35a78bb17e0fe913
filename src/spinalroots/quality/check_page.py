"""The check as a page to read and a record to compare."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from jinja2 import Environment, PackageLoader

from spinalroots.errors import InputError
from spinalroots.quality.check import CaseCheck
from spinalroots.quality.check_roots import KEY, cells_of, levels_in, ventral_roots

_GRAVE = ("image", "geometry", "side", "mismatch", "empty")
"""Findings that say that something is wrong, not only that something is missing or small."""


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
    levels = levels_in(ordered)
    environment = Environment(loader=PackageLoader("spinalroots.quality"), autoescape=True)
    return environment.get_template("check.html.j2").render(
        cases=ordered,
        grave=_GRAVE,
        first=sum(_weight(case) >= 1000 for case in cases),
        mild=sum(0 < _weight(case) < 1000 for case in cases),
        key=KEY,
        levels=levels,
        rows=[(case.name, cells_of(case, levels), ventral_roots(case)) for case in ordered],
    )


def _weight(case: CaseCheck) -> int:
    """Grave findings come before all others."""
    return sum(1000 if finding.kind in _GRAVE else 1 for finding in case.findings)
