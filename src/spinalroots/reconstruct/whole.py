"""The 3D model of a person's roots as a folder: surfaces, trajectories, measurements, a picture."""

from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.errors import InputError
from spinalroots.files import write_bytes, write_json, write_table, write_text
from spinalroots.imaging.markups import ENDING, Curve, markups_json
from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.formats import swc, write_curves_vtp, write_parts
from spinalroots.reconstruct.measurements import measure
from spinalroots.reconstruct.picture import scene_picture
from spinalroots.reconstruct.scene import Scene, scene
from spinalroots.reconstruct.trajectories import Trajectory
from spinalroots.registry.anatomy import Root, Scheme, label_colour


def case(
    individuals: Volume,
    folder: Path,
    tissues: Volume | None = None,
    *,
    smoothing_mm: float = 0.5,
    spacing_mm: float = 1.0,
    gap_mm: float = 10.0,
    subject: str = "subject",
    volume_mesh: bool = False,
) -> pd.DataFrame:
    """Write the 3D model of an individual map into `folder`, a new one of the caller's.

    Files, in the scanner's RAS+ mm where they do not say LPS: those of
    :func:`spinalroots.reconstruct.formats.write_parts`; ``trajectories.csv``, ``.json``, ``.vtp``
    and ``trajectories/<root>.swc`` (points from entry to exit), 3D Slicer's curves
    ``markups/<subject>_nerveroots_<root>.mrk.json`` (LPS), ``measurements.csv`` and ``roots.png``.

    :param tissues: tissue map on the same grid, for cord, sac, fat, and what is measured from them.
    :param subject: what the names of the curves begin with.
    :param volume_mesh: write ``volume.vtu`` and ``volume.msh`` too, which takes minutes.
    :returns: the measurements, a row per root.
    :raises InputError: the map is empty.
    """
    if not individuals.data.any():
        raise InputError(
            folder,
            expected="an individual map with at least one root",
            found="an empty one",
            fix="Check the prediction; there is nothing to reconstruct.",
        )
    found = scene(
        individuals, tissues, smoothing_mm=smoothing_mm, spacing_mm=spacing_mm, gap_mm=gap_mm
    )
    if volume_mesh:
        from spinalroots.reconstruct.volume_mesh import volume_mesh as meshed
        from spinalroots.reconstruct.volume_mesh import write_volume_mesh

        write_volume_mesh(folder, meshed(found.parts, individuals, tissues, found.canal))
    return write_scene(folder, found, subject)


def write_scene(folder: Path, found: Scene, subject: str) -> pd.DataFrame:
    """Write a scene with at least one root as :func:`case` does; its measurements, a row a root."""
    folder = Path(folder)
    write_parts(folder, found.parts)
    _write_ways(folder, found.ways, subject)
    table = measure(found.ways, found.canal)
    write_table(folder / "measurements.csv", table, "%.3f")
    # One entry a level; sides differ in paleness, which the picture shows.
    legend = {root.level: label_colour(Scheme.LEVELS, root.level_index + 1) for root in found.ways}
    write_bytes(folder / "roots.png", scene_picture(found.parts, legend=legend))
    return table


def _write_ways(folder: Path, ways: dict[Root, Trajectory], subject: str) -> None:
    """trajectories.csv, a row per point; .json and .vtp, an entry per root; .swc, markups each."""
    tables = []
    for root, way in ways.items():
        table = pd.DataFrame(way.points_mm, columns=["right_mm", "anterior_mm", "superior_mm"])
        table.insert(0, "root", str(root))
        table.insert(1, "along_mm", way.along_mm)
        table["diameter_mm"] = way.diameter_mm
        for name in ("joined", "thin", "strands"):
            table[name] = getattr(way, name).astype(int)
        tables.append(table)
        write_text(folder / "trajectories" / f"{root}.swc", swc(str(root), way))
        curve = Curve(way.points_mm, way.diameter_mm / 2)
        colour = label_colour(Scheme.INDIVIDUALS, root.value)
        name = f"{subject}_nerveroots_{root}"
        write_text(folder / "markups" / f"{name}{ENDING}", markups_json(name, curve, colour))
    write_table(folder / "trajectories.csv", pd.concat(tables), "%.3f")
    write_curves_vtp(folder / "trajectories.vtp", {str(root): way for root, way in ways.items()})
    record = {
        str(root): {
            "length_mm": round(way.length_mm, 3),
            "mean_diameter_mm": round(way.mean_diameter_mm, 3),
            "points_mm": np.round(way.points_mm, 3).tolist(),
            "diameter_mm": np.round(way.diameter_mm, 3).tolist(),
            "joined": way.joined.tolist(),
            "thin": way.thin.tolist(),
        }
        for root, way in ways.items()
    }
    write_json(
        folder / "trajectories.json",
        {"space": "RAS+ mm", "order": "entry to exit", "roots": record},
    )
