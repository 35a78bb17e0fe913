"""Roots that a lab keeps as curves: 3D Slicer's markups beside a scan, a file a root.

Names are those of the public human lumbosacral data set, `{subject}_nerveroots_L3_L.mrk.json`, and
with the type of the root `{subject}_nerveroots_L3_D_L.mrk.json`. A curve without a type tells the
level only.
"""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.curve_masks import paint
from spinalroots.imaging.markups import ENDING, Curve, read_markups
from spinalroots.imaging.volume import Volume
from spinalroots.ingest.assemble import Key
from spinalroots.ingest.found import MaskFile
from spinalroots.ingest.names import Meaning
from spinalroots.registry.anatomy import LEVELS, Root, Scheme, label_names, level_value

ASSUMED_RADIUS_MM = 0.75
"""Of curves that do not say how thick the root is."""
LONGEST_MM, THICKEST_MM = 1000.0, 5.0
_NAME = re.compile(r"(?:^|[^0-9a-z])([ctls])(\d{1,2})(?:[_-]?([dv]))?[_-]?([lr])$", re.IGNORECASE)


def is_curve(path: Path) -> bool:
    """Whether the name ends like that of a markups file."""
    return path.name.lower().endswith(ENDING) and not path.name.startswith(".")


def curve_name(path: Path) -> str:
    """Level, type if it is known, and side that a markups file's name ends in.

    >>> curve_name(Path("p7_nerveroots_L3_D_L.mrk.json")), curve_name(Path("p7_S1_r.mrk.json"))
    ('L3_D_L', 'S1_R')

    :raises InputError: it ends in something else.
    """
    match = _NAME.search(path.name[: -len(ENDING)])
    level = f"{match[1].upper()}{int(match[2])}" if match else ""
    if match is None or level not in LEVELS:
        raise InputError(
            path,
            expected="a name that ends in a level and a side, such as sub-01_nerveroots_L3_L"
            f"{ENDING}, or in a root, such as …_L3_D_L{ENDING}",
            found=f"the name {path.name!r}",
            fix="Rename the file, or take it out of the folder.",
        )
    return "_".join((level, *(part.upper() for part in match.groups()[2:] if part)))


def curve_meaning(path: Path, rater: str = "") -> Meaning:
    """Root, or level, that a markups file's name says.

    :raises InputError: it says neither.
    """
    level, *rest = (name := curve_name(path)).split("_")
    if len(rest) == 1:
        return Meaning(Scheme.LEVELS, level_value(level), rater)
    return Meaning(Scheme.INDIVIDUALS, Root.parse(name).value, rater)


def add_curves(
    maps: dict[Key, np.ndarray], curves: tuple[MaskFile, ...], scan: Volume, *, union: bool
) -> list[str]:
    """Paint curves into label maps (X, Y, Z), (rater, scheme) → map, on the scan's RAS+ grid.

    Voxels that a mask holds stay as they are.

    :param union: make the mask of all roots of them too, where there is none.
    :return: notes for the person.
    :raises InputError: a file that is no curve; a curve outside the scan; a root that a mask, or
        another file, has already.
    """
    layers: dict[Key, list[tuple[int, Curve]]] = defaultdict(list)
    files: dict[tuple, Path] = {}
    bare = 0
    for file in curves:
        curve, name = read_markups(file.path), curve_name(file.path)
        _require_root(file.path, curve)
        _require_inside(file.path, curve, scan)
        bare += curve.radius_mm is None
        key, value = (file.meaning.rater, file.meaning.scheme), int(file.meaning.value or 0)
        if key in maps and (maps[key] == value).any():
            raise _twice(file, f"a mask of {label_names(key[1])[value]} too")
        if (key, name) in files:
            raise _twice(file, f"another one in {files[key, name]}")
        files[key, name] = file.path
        layers[key].append((value, curve))
    made: dict[str, np.ndarray] = {}
    for key, found in layers.items():
        # A level without types may have a curve a side, so that they are painted by their number.
        by_number = {number: curve for number, (_, curve) in enumerate(found, start=1)}
        numbers = paint(by_number, scan.grid, ASSUMED_RADIUS_MM)
        painted = np.array([0, *(value for value, _ in found)], np.uint8)[numbers]
        held = maps.get(key, np.zeros_like(painted))
        maps[key] = np.where(held == 0, painted, held)
        made[key[0]] = made.get(key[0], np.zeros_like(painted)) | (painted > 0)
    for rater, roots in made.items():
        if union and (rater, Scheme.ENTITY) not in maps:
            maps[rater, Scheme.ENTITY] = roots.astype(np.uint8)
    return [f"{bare} curve(s) without a radius: {ASSUMED_RADIUS_MM:g} mm taken"] if bare else []


def _require_root(path: Path, curve: Curve) -> None:
    length_mm = float(np.linalg.norm(np.diff(curve.points_mm, axis=0), axis=1).sum())
    radius_mm = 0.0 if curve.radius_mm is None else float(curve.radius_mm.max())
    if length_mm > LONGEST_MM or radius_mm > THICKEST_MM:
        raise InputError(
            path,
            expected=f"a root, at most {LONGEST_MM:g} mm long and {THICKEST_MM:g} mm in radius",
            found=f"a curve of {length_mm:.4g} mm, radius {radius_mm:.4g} mm",
            fix="Look at its unit (mm) and at its points.",
        )


def _require_inside(path: Path, curve: Curve, scan: Volume) -> None:
    voxels = np.rint(scan.grid.to_voxels(curve.points_mm))
    if not ((voxels >= 0) & (voxels < scan.data.shape)).all(axis=1).any():
        raise InputError(
            path,
            expected="a curve in the scan, in its scanner coordinates",
            found="all points outside of it",
            fix="Give the curve of this scan; a transform must be hardened before saving.",
        )


def _twice(file: MaskFile, found: str) -> InputError:
    return InputError(
        file.path,
        expected=f"one curve or mask of {curve_name(file.path)}",
        found=found,
        fix="Keep one, or say who drew each (a sub-folder rater-A).",
    )
