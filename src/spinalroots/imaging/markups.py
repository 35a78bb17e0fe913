"""Curves as 3D Slicer stores them: markups JSON, one open curve a file, LPS mm.

The format is that of https://github.com/Slicer/Slicer/blob/main/Modules/Loadable/Markups/
Resources/Schema/markups-schema-v1.0.3.json. The radius stands beside the points as a measurement
named ``radius``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError, require_file
from spinalroots.files.text import parsed_json, read_some

ENDING = ".mrk.json"
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
_TO_RAS = {"LPS": np.array([-1.0, -1.0, 1.0]), "RAS": np.ones(3)}
_TO_RAS |= {"0": _TO_RAS["RAS"], "1": _TO_RAS["LPS"]}
"""What a file calls its space → signs of its axes in RAS+."""


@dataclass(frozen=True)
class Curve:
    """An open line through `points_mm` (N, 3), RAS+, in order; `radius_mm` (N,) if it is known."""

    points_mm: np.ndarray
    radius_mm: np.ndarray | None = None


def markups_json(name: str, curve: Curve, colour: tuple[int, int, int]) -> str:
    """Text of a markups file with one curve.

    :param colour: RGB, 0..255.
    """
    places = curve.points_mm * _TO_RAS["LPS"]
    points = [
        {
            "id": str(number),
            "label": f"{name}-{number}",
            "position": [round(float(value), 4) for value in place],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, place in enumerate(places, start=1)
    ]
    shade = [round(value / 255, 4) for value in colour]
    markup: dict = {
        "type": "Curve",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "controlPoints": points,
        "display": {"visibility": True, "color": shade, "selectedColor": shade},
    }
    if curve.radius_mm is not None:
        radii = [round(float(radius), 4) for radius in curve.radius_mm]
        markup["measurements"] = [
            {"name": "radius", "enabled": True, "units": "mm", "controlPointValues": radii}
        ]
    return json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1) + "\n"


def read_markups(path: Path) -> Curve:
    """The one open curve of a markups file.

    :raises InputError: not such a file, another kind or number of markups, a space that is not
        named, fewer than two points, places or radii that are no finite numbers.
    """
    require_file(path, expected="a 3D Slicer markups file", fix="Check the path.")
    try:
        record = parsed_json(read_some(path))
        markups = record["markups"]
        kinds = [str(markup["type"]) for markup in markups]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _wrong(path, "a 3D Slicer markups file", f"no such content ({error!r})") from error
    if kinds != ["Curve"]:
        raise _wrong(path, "one open curve", f"markups: {', '.join(kinds) or 'none'}")
    markup = markups[0]
    space = str(markup.get("coordinateSystem"))
    if space not in _TO_RAS or markup.get("coordinateUnits", "mm") != "mm":
        units = markup.get("coordinateUnits", "mm")
        raise _wrong(path, "LPS or RAS coordinates in mm", f"{space} in {units}")
    try:
        defined = [
            point
            for point in markup.get("controlPoints", [])
            if point.get("positionStatus", "defined") == "defined"
        ]
        places = np.array([point["position"] for point in defined], float).reshape(-1, 3)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise _wrong(path, "three numbers a point", f"something else ({error!r})") from error
    if len(places) < 2 or not np.isfinite(places).all():
        raise _wrong(path, "two points or more, all numbers finite", f"{len(places)} points")
    return Curve(places * _TO_RAS[space], _radius(path, markup, len(places)))


def _radius(path: Path, markup: dict, count: int) -> np.ndarray | None:
    try:
        found = [
            np.array(one["controlPointValues"], float)
            for one in markup.get("measurements") or []
            if one.get("name") == "radius" and one.get("controlPointValues")
        ]
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise _wrong(path, "radii that are numbers", repr(error)) from error
    for radius in found:
        if radius.shape != (count,) or not np.isfinite(radius).all() or radius.min() <= 0:
            raise _wrong(path, f"{count} radii above 0, in mm", f"{radius.size} values")
        return radius
    return None


def _wrong(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        path,
        expected=expected,
        found=found,
        fix="Save the curve from 3D Slicer as Markups JSON (.mrk.json), one root a file.",
    )
