"""The 3D model of one person's roots: surfaces, trajectories, measurements and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.errors import InputError
from spinalroots.files import write_bytes, write_json, write_text
from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct import picture
from spinalroots.reconstruct.surfaces import root_surface
from spinalroots.reconstruct.trajectories import Trajectory, trace_root
from spinalroots.registry.anatomy import Root, Scheme, label_colour


def case(
    individuals: Volume,
    folder: Path,
    *,
    smoothing_mm: float = 0.5,
    spacing_mm: float = 1.0,
    gap_mm: float = 10.0,
) -> pd.DataFrame:
    """Write the 3D model of an individual map into `folder`, a new one of the caller's.

    Files, all in the scanner's RAS+ mm: ``surfaces/<root>.stl``, ``roots.ply`` (all of them,
    coloured), ``trajectories.csv`` and ``.json`` (points from entry to exit), ``measurements.csv``
    and ``roots.png``.

    :returns: the measurements, a row per root.
    :raises InputError: the map is empty.
    """
    values = [int(value) for value in np.unique(individuals.data) if value]
    if not values:
        raise InputError(
            folder,
            expected="an individual map with at least one root",
            found="an empty one",
            fix="Check the prediction; there is nothing to reconstruct.",
        )
    roots = {value: Root.from_value(value) for value in values}
    masks = {value: individuals.data == value for value in values}
    surfaces = [root_surface(masks[v], individuals.affine, smoothing_mm) for v in values]
    ways = {
        roots[v]: trace_root(masks[v], individuals.affine, spacing_mm=spacing_mm, gap_mm=gap_mm)
        for v in values
    }
    colours = [label_colour(Scheme.INDIVIDUALS, value) for value in values]
    table = _measurements(ways)
    for value, surface in zip(values, surfaces, strict=True):
        _export(folder / "surfaces" / f"{roots[value]}.stl", surface)
    _export(folder / "roots.ply", _coloured(surfaces, colours))
    _write_ways(folder, ways)
    write_text(folder / "measurements.csv", _csv(table))
    picture.write(folder / "roots.png", surfaces, colours, _legend(roots))
    return table


def _export(path: Path, surface) -> None:
    write_bytes(path, surface.export(file_type=path.suffix[1:]))


def _coloured(surfaces: list, colours: list[tuple]):
    """All surfaces as one, every vertex with its root's colour."""
    import trimesh

    whole = trimesh.util.concatenate(surfaces)
    sizes = [len(surface.vertices) for surface in surfaces]
    whole.visual.vertex_colors = np.repeat(
        [(*colour, 255) for colour in colours], sizes, axis=0
    ).astype(np.uint8)
    return whole


def _measurements(ways: dict[Root, Trajectory]) -> pd.DataFrame:
    rows = []
    for root, way in ways.items():
        entry, exit_ = way.points_mm[0], way.points_mm[-1]
        rows.append(
            {
                "root": str(root),
                "level": root.level,
                "type": str(root.type),
                "side": str(root.side),
                "length_mm": way.length_mm,
                "mean_diameter_mm": way.mean_diameter_mm,
                "volume_mm3": way.volume_mm3,
                "parts": way.parts,
                "left_out_mm3": way.left_out_mm3,
                **{f"entry_{axis}_mm": entry[k] for k, axis in enumerate("ras")},
                **{f"exit_{axis}_mm": exit_[k] for k, axis in enumerate("ras")},
            }
        )
    return pd.DataFrame(rows)


def _write_ways(folder: Path, ways: dict[Root, Trajectory]) -> None:
    """trajectories.csv, a row per point, and trajectories.json, an entry per root."""
    tables = []
    for root, way in ways.items():
        steps = np.linalg.norm(np.diff(way.points_mm, axis=0), axis=1)
        table = pd.DataFrame(way.points_mm, columns=["right_mm", "anterior_mm", "superior_mm"])
        table.insert(0, "root", str(root))
        table.insert(1, "along_mm", np.concatenate([[0.0], np.cumsum(steps)]))
        table["diameter_mm"] = way.diameter_mm
        tables.append(table)
    write_text(folder / "trajectories.csv", _csv(pd.concat(tables)))
    record = {
        str(root): {
            "length_mm": round(way.length_mm, 3),
            "mean_diameter_mm": round(way.mean_diameter_mm, 3),
            "points_mm": np.round(way.points_mm, 3).tolist(),
            "diameter_mm": np.round(way.diameter_mm, 3).tolist(),
        }
        for root, way in ways.items()
    }
    write_json(
        folder / "trajectories.json",
        {"space": "RAS+ mm", "order": "entry to exit", "roots": record},
    )


def _legend(roots: dict[int, Root]) -> dict[str, tuple]:
    """One entry a level; sides differ in paleness, which the picture shows."""
    return {
        root.level: label_colour(Scheme.LEVELS, root.level_index + 1) for root in roots.values()
    }


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.3f")
