"""A reconstruction held against the true courses of a phantom's roots."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinalroots.imaging.volume import Grid, Volume
from spinalroots.reconstruct.measurements import measure
from spinalroots.reconstruct.sac import Canal
from spinalroots.reconstruct.surfaces import surface_of
from spinalroots.reconstruct.trajectories import Trajectory, trace_root
from spinalroots.registry.anatomy import Root

COLUMNS = (
    "root",
    "found",
    "length_mm",
    "true_length_mm",
    "diameter_mm",
    "true_diameter_mm",
    "volume_mm3",
    "surface_mm3",
    "true_volume_mm3",
    "entry_level",
    "aside_median_mm",
    "aside_most_mm",
)
_FINE_MM = 0.1


@dataclass(frozen=True)
class TrueRoot:
    """`course_mm` (N, 3), RAS+: the highest rootlet and the trunk, from the cord to the foramen;
    `in_sac` (N,): its points inside the dura. `entries_mm` (M, 3): where rootlets enter the cord.
    `diameter_mm`: of the trunk. `tubes`: lines (K, 3) of trunk and rootlets, and their diameters.
    """

    course_mm: np.ndarray
    in_sac: np.ndarray
    entries_mm: np.ndarray
    diameter_mm: float
    tubes: tuple[tuple[np.ndarray, float], ...]

    def volume_mm3(self, grid: Grid) -> float:
        """Of trunk and rootlets as far as a grid shows them; where they overlap, more than once."""
        return sum(
            np.pi / 4 * diameter_mm**2 * _length_mm(_shown(line, grid))
            for line, diameter_mm in self.tubes
        )


def true_roots(record: dict) -> dict[Root, TrueRoot]:
    """From the part ``roots`` of a phantom's truth, as its data set stores it."""
    found = {}
    for name, root in record.items():
        trunk = np.array(root["trunk_ras_mm"])
        rootlets = [np.array(line) for line in root["rootlets_ras_mm"]]
        top = max(rootlets, key=lambda line: line[0, 2])
        course = np.concatenate([top, trunk[1:]])
        found[Root.parse(name)] = TrueRoot(
            course,
            np.arange(len(course)) < len(top) + root["trunk_points_in_sac"] - 1,
            np.array([line[0] for line in rootlets]),
            root["diameter_mm"],
            (
                (trunk, root["diameter_mm"]),
                *((line, root["rootlet_diameter_mm"]) for line in rootlets),
            ),
        )
    return found


def compare(
    individuals: Volume,
    tissues: Volume,
    truth: dict[Root, TrueRoot],
    roots: Sequence[Root],
    *,
    smoothing_mm: float,
    spacing_mm: float,
    gap_mm: float,
) -> pd.DataFrame:
    """A row of :data:`COLUMNS` for each of `roots` that the truth has and the scan shows.

    Length is from the upper end to where the root leaves the sac; diameter the mean below the entry
    zone, of the trunk; volume that of the root's voxels, of its surface, and of the true tubes.
    ``entry_level`` is the level whose true rootlets enter nearest to where the root found begins.
    ``aside``: how far its points are from the true course, between the true course's ends.
    """
    masks = {root: individuals.data == root.value for root in roots if root in truth}
    ways = {
        root: trace_root(mask, individuals.affine, spacing_mm=spacing_mm, gap_mm=gap_mm)
        for root, mask in masks.items()
        if mask.any()
    }
    table = measure(ways, Canal.of(tissues.data, tissues.affine))
    measured = {row["root"]: row for row in table.to_dict("records")}
    rows = []
    for root, mask in masks.items():
        true = truth[root]
        length_mm = _length_mm(_shown(true.course_mm[true.in_sac], individuals.grid))
        if not length_mm:
            continue
        row = {
            "root": str(root),
            "found": root in ways,
            "true_length_mm": length_mm,
            "true_diameter_mm": true.diameter_mm,
            "true_volume_mm3": true.volume_mm3(individuals.grid),
        }
        if root in ways:
            surface = surface_of(mask, individuals.affine, smoothing_mm)
            aside_mm = _aside_mm(ways[root], true)
            row |= {
                "length_mm": measured[str(root)]["intradural_length_mm"],
                "diameter_mm": measured[str(root)]["mean_diameter_mm"],
                "volume_mm3": float(mask.sum() * individuals.grid.voxel_mm3),
                "surface_mm3": float(surface.volume),
                "entry_level": entry_level(root, ways[root], truth),
                "aside_median_mm": float(np.median(aside_mm)),
                "aside_most_mm": float(aside_mm.max()),
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def entry_level(root: Root, way: Trajectory, truth: dict[Root, TrueRoot]) -> str:
    """The level whose true rootlets, of the same side and type, enter nearest to the upper end."""
    near = {
        other.level: float(
            cKDTree(_dense(true.entries_mm)).query(way.points_mm[0])[0]  # between the rootlets too
        )
        for other, true in truth.items()
        if (other.type, other.side) == (root.type, root.side)
    }
    return min(near, key=lambda level: near[level])


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over the roots found, of each kind of ``masks``: errors as shares or mm."""
    rows = []
    for masks, part in table.groupby("masks", sort=False):
        found = part[part["found"].astype(bool)]
        level = found["root"].str.split("_").str[0]
        longer = (found["length_mm"] / found["true_length_mm"] - 1).abs()
        thicker_mm = (found["diameter_mm"] - found["true_diameter_mm"]).abs()
        rows.append(
            {
                "masks": masks,
                "roots": len(part),
                "found": len(found),
                "length_error": longer.median(),
                "diameter_error_mm": thicker_mm.median(),
                "diameter_error": (thicker_mm / found["true_diameter_mm"]).median(),
                "surface_to_mask": (found["surface_mm3"] / found["volume_mm3"] - 1).abs().median(),
                "mask_to_truth": (found["volume_mm3"] / found["true_volume_mm3"] - 1).median(),
                "entry_level_right": (found["entry_level"] == level).mean(),
                "aside_median_mm": found["aside_median_mm"].median(),
            }
        )
    return pd.DataFrame(rows)


def _aside_mm(way: Trajectory, true: TrueRoot) -> np.ndarray:
    line = _dense(true.course_mm)
    distance, nearest = cKDTree(line).query(way.points_mm)
    between = (nearest > 0) & (nearest < len(line) - 1)
    return distance[between] if between.any() else distance


def _dense(line: np.ndarray) -> np.ndarray:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    at = np.linspace(0, along[-1], max(2, int(along[-1] / _FINE_MM)))
    return np.stack([np.interp(at, along, axis) for axis in line.T], axis=1)


def _shown(line: np.ndarray, grid: Grid) -> np.ndarray:
    """The points of a line (N, 3) that lie on the grid, finely spaced."""
    points = _dense(line)
    voxels = np.rint(grid.to_voxels(points))
    return points[((voxels >= 0) & (voxels < grid.shape)).all(axis=1)]


def _length_mm(line: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
