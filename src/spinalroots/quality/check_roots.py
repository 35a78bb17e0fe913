"""Every root of every case in one table: what is missing, tiny, in pieces or on the wrong side."""

from __future__ import annotations

from spinalroots.quality.check import CaseCheck, MapCheck
from spinalroots.registry.anatomy import LEVELS, REFINED_LEVELS

_KEY = (
    ("drawn", "drawn"),
    ("level", "by level only"),
    ("tiny", "tiny"),
    ("side", "on the other side"),
    ("absent", "not drawn"),
)


def roots_table(cases: list[CaseCheck]) -> str:
    """HTML: a row per case, a left and a right cell per level; dorsal roots, else the level.

    A number in a cell is that of the pieces, where there are several.
    """
    seen = {name.split("_")[0] for case in cases for entry in case.maps for name in entry.voxels}
    levels = [level for level in LEVELS if level in seen or level in REFINED_LEVELS]
    heads = "".join(f'<th colspan="2">{level}</th>' for level in levels)
    sides = "<th>L</th><th>R</th>" * len(levels)
    rows = "".join(_row(case, levels) for case in cases)
    key = "".join(f'<span class="{css}">{word}</span>' for css, word in _KEY)
    return (
        f'<h2>Dorsal roots, case by case</h2><p class="key">{key} a number: drawn in so many pieces'
        f'</p><table class="roots"><tr><th></th>{heads}<th>ventral</th></tr>'
        f"<tr><th></th>{sides}<th></th></tr>{rows}</table>"
    )


def _row(case: CaseCheck, levels: list[str]) -> str:
    roots, by_level = _map(case, "individuals"), _map(case, "levels")
    tiny = {entry.what.split()[0] for entry in case.findings if entry.kind == "tiny"}
    cells = ""
    for level in levels:
        pair = [f"{level}_D_{side}" for side in "LR"]
        if not any(name in roots.voxels for name in pair) and level in by_level.voxels:
            cells += f'<td class="level" colspan="2" title="{level}, by level only"></td>'
        else:
            cells += "".join(_cell(name, roots, tiny, case.wrong_side) for name in pair)
    ventral = sum("_V_" in name for name in roots.voxels) or ""
    name = f'<td class="name"><a href="#{case.name}">{case.name}</a></td>'
    return f"<tr>{name}{cells}<td>{ventral}</td></tr>"


def _cell(name: str, roots: MapCheck, tiny: set[str], wrong_side: dict[str, float]) -> str:
    if name not in roots.voxels:
        return f'<td class="absent" title="{name} is not drawn"></td>'
    css = "side" if name in wrong_side else "tiny" if name in tiny else "drawn"
    pieces = roots.islands[name]
    title = f"{name}: {roots.voxels[name]} voxels, {pieces} piece{'s' if pieces > 1 else ''}"
    return f'<td class="{css}" title="{title}">{pieces if pieces > 1 else ""}</td>'


def _map(case: CaseCheck, scheme: str) -> MapCheck:
    """The agreed map of a scheme, else the first rater's, else an empty one."""
    found = sorted((e for e in case.maps if e.scheme == scheme), key=lambda entry: entry.rater)
    return found[0] if found else MapCheck(scheme, "", {}, {})
