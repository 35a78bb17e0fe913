"""The 3D model of one person's roots: surfaces, trajectories, measurements and a picture."""

from pathlib import Path

import numpy as np
import pandas as pd
import trimesh

from spinalroots.errors import InputError
from spinalroots.files import write_bytes, write_json, write_table
from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.surfaces import root_surface, write_picture
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
    surfaces, ways = [], {}
    colours = [label_colour(Scheme.INDIVIDUALS, value) for value in values]
    for value, colour in zip(values, colours, strict=True):
        root, mask = Root.from_value(value), individuals.data == value
        surface = root_surface(mask, individuals.affine, smoothing_mm)
        surface.visual.vertex_colors = (*colour, 255)
        _export(folder / "surfaces" / f"{root}.stl", surface)
        surfaces.append(surface)
        ways[root] = trace_root(mask, individuals.affine, spacing_mm=spacing_mm, gap_mm=gap_mm)
    _export(folder / "roots.ply", trimesh.util.concatenate(surfaces))
    _write_ways(folder, ways)
    table = _measurements(ways)
    write_table(folder / "measurements.csv", table, "%.3f")
    # One entry a level; sides differ in paleness, which the picture shows.
    legend = {root.level: label_colour(Scheme.LEVELS, root.level_index + 1) for root in ways}
    write_picture(folder / "roots.png", surfaces, colours, legend)
    return table


def _export(path: Path, surface) -> None:
    write_bytes(path, surface.export(file_type=path.suffix[1:]))


def _measurements(ways: dict[Root, Trajectory]) -> pd.DataFrame:
    return pd.DataFrame(
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
            **{f"entry_{axis}_mm": way.points_mm[0, k] for k, axis in enumerate("ras")},
            **{f"exit_{axis}_mm": way.points_mm[-1, k] for k, axis in enumerate("ras")},
        }
        for root, way in ways.items()
    )


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
    write_table(folder / "trajectories.csv", pd.concat(tables), "%.3f")
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
