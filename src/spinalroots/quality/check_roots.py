"""Every root of every case in one table: what is missing, tiny, in pieces or on the wrong side."""

from __future__ import annotations

from dataclasses import dataclass

from spinalroots.quality.check import CaseCheck, MapCheck
from spinalroots.registry.anatomy import LEVELS, REFINED_LEVELS

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
