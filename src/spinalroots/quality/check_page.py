"""The check as a page to read and a record to compare."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

from spinalroots.errors import InputError
from spinalroots.quality.check import CaseCheck, MapCheck
from spinalroots.registry.anatomy import LEVELS, REFINED_LEVELS

_GRAVE = ("image", "geometry", "side", "mismatch", "empty")
"""Findings that say that something is wrong, not only that something is missing or small."""


KEY = (
    ("drawn", "drawn"),
    ("level", "by level only"),
    ("tiny", "tiny"),
    ("side", "on the other side"),
    ("absent", "not drawn"),
)


@dataclass(frozen=True)
class Cell:
    """One root of one case, or (`wide`) one level of it: what to say, and its number of pieces."""

    css: str
    title: str
    pieces: int = 0
    wide: bool = False


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


def levels_in(cases: list[CaseCheck]) -> list[str]:
    """The levels that have a column: those that are refined, and whatever else is drawn."""
    seen = {name.split("_")[0] for case in cases for entry in case.maps for name in entry.voxels}
    return [level for level in LEVELS if level in seen or level in REFINED_LEVELS]


def cells_of(case: CaseCheck, levels: list[str]) -> list[Cell]:
    """A left and a right cell per level for the dorsal roots, else one for the level."""
    roots, by_level = _map(case, "individuals"), _map(case, "levels")
    tiny = {entry.what.split()[0] for entry in case.findings if entry.kind == "tiny"}
    cells = []
    for level in levels:
        pair = [f"{level}_D_{side}" for side in "LR"]
        if not any(name in roots.voxels for name in pair) and level in by_level.voxels:
            cells.append(Cell("level", f"{level}, by level only", wide=True))
        else:
            cells += [_cell(name, roots, tiny, case.wrong_side) for name in pair]
    return cells


def ventral_roots(case: CaseCheck) -> int:
    """How many ventral roots are drawn."""
    return sum("_V_" in name for name in _map(case, "individuals").voxels)


def _cell(name: str, roots: MapCheck, tiny: set[str], wrong_side: dict[str, float]) -> Cell:
    if name not in roots.voxels:
        return Cell("absent", f"{name} is not drawn")
    css = "side" if name in wrong_side else "tiny" if name in tiny else "drawn"
    pieces = roots.islands[name]
    title = f"{name}: {roots.voxels[name]} voxels, {pieces} piece{'s' if pieces > 1 else ''}"
    return Cell(css, title, pieces)


def _map(case: CaseCheck, scheme: str) -> MapCheck:
    """The agreed map of a scheme, else the first rater's, else an empty one."""
    found = sorted((e for e in case.maps if e.scheme == scheme), key=lambda entry: entry.rater)
    return found[0] if found else MapCheck(scheme, "", {}, {})
