"""What is measured on a root: a table with units, a row per root."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinalroots.reconstruct.sac import Canal
from spinalroots.reconstruct.trajectories import Trajectory
from spinalroots.registry.anatomy import Root

_BEYOND_MM = 10.0
"""Length of root below its entry zone that tells the angle to the cord."""
_GAP_MM = 0.6
"""A root lies on the cord as long as this much, beside its radius and a voxel, is between them."""
_OBLIQUE_MM = 4.0
"""A root that leaves the sac aslant touches it no longer than this."""


@dataclass(frozen=True)
class Stretch:
    """Of a trajectory's points: `on_cord` is the last that lies on the cord, from the entry on;
    `entry` the last of the entry zone; `exit` the last in the sac. None where it is not known.
    """

    on_cord: int | None
    entry: int | None
    exit: int | None


def stretches(ways: dict[Root, Trajectory], canal: Canal | None) -> dict[Root, Stretch]:
    """Where each root enters the cord, where it leaves it, and where the sac.

    A root lies on the cord from its upper end on. Where its lowest rootlet enters, a mask does not
    show; segments of the cord follow one another without a gap, so that the entry zone is taken to
    end where that of the next level's root of the same side and type begins.
    """
    found = {}
    for root, way in ways.items():
        on_cord, last = _on_cord(way, canal), _leaves_sac(way, canal)
        following = Root(root.level_index + 1, root.type, root.side)
        entry = on_cord
        if on_cord is not None and following in ways:
            below = way.points_mm[:, 2] <= ways[following].points_mm[0, 2]
            entry = min(on_cord, int(below.argmax()) if below.any() else on_cord)
        if on_cord is not None and entry is not None and last is not None:
            on_cord, entry = min(on_cord, last), min(entry, last)
        found[root] = Stretch(on_cord, entry, last)
    return found


def _on_cord(way: Trajectory, canal: Canal | None) -> int | None:
    if canal is None or not canal.cord.any():
        return None
    voxel_mm = float(np.abs(np.linalg.det(canal.affine[:3, :3]))) ** (1 / 3)
    near = canal.to_cord_mm(way.points_mm) < way.diameter_mm / 2 + voxel_mm + _GAP_MM
    if not near[: len(near) // 10 + 3].any():
        return None
    start = int(near.argmax())
    away = np.flatnonzero(~near[start:])
    return start + int(away[0]) - 1 if len(away) else len(near) - 1


def _leaves_sac(way: Trajectory, canal: Canal | None) -> int | None:
    """The last point in the sac; of a root that runs on at its wall, in a dent, the last there."""
    if canal is None:
        return None
    away_mm, along = canal.to_sac_mm(way.points_mm), way.along_mm
    if not (inside := np.flatnonzero(away_mm == 0)).size:
        return None
    voxel_mm = float(np.abs(np.linalg.det(canal.affine[:3, :3]))) ** (1 / 3)
    touching = np.flatnonzero(away_mm <= way.diameter_mm / 2 + voxel_mm / 2)
    if along[touching[-1]] - along[inside[-1]] <= _OBLIQUE_MM:
        return int(inside[-1])
    return int(np.flatnonzero(along <= along[touching[-1]] - _OBLIQUE_MM)[-1])


def measure(ways: dict[Root, Trajectory], canal: Canal | None) -> pd.DataFrame:
    """The table: lengths and distances in mm, volumes in mm³, places in RAS+ mm, angles in degrees.

    What needs a tissue map is missing (NaN) without one.
    """
    dura = cKDTree(canal.dorsal_dura_mm()) if canal is not None and canal.sac.any() else None
    walls = {root: (cKDTree(way.points_mm), way.diameter_mm / 2) for root, way in ways.items()}
    found = stretches(ways, canal)
    return pd.DataFrame(
        _row(root, way, found[root], canal, dura, walls) for root, way in ways.items()
    )


def _row(
    root: Root, way: Trajectory, found: Stretch, canal: Canal | None, dura, walls: dict
) -> dict:
    along = way.along_mm
    last = len(along) - 1 if found.exit is None else found.exit
    trunk = np.zeros(len(along), bool)
    trunk[min(found.entry or 0, last) : last + 1] = True
    solid = trunk & ~way.joined if (trunk & ~way.joined).any() else ~way.joined
    neighbour, apart_mm = _nearest(root, way, last, walls)
    row = {
        "root": str(root),
        "level": root.level,
        "type": str(root.type),
        "side": str(root.side),
        "length_mm": way.length_mm,
        "intradural_length_mm": np.nan if found.exit is None else along[last],
        "on_cord_mm": np.nan if found.on_cord is None else along[found.on_cord],
        "entry_zone_mm": np.nan if found.entry is None else along[found.entry],
        "mean_diameter_mm": float(way.diameter_mm[solid].mean()),
        "least_diameter_mm": float(way.diameter_mm[solid].min()),
        "thin_share": float(way.thin[solid].mean()),
        "most_strands": int(way.strands.max()),
        "volume_mm3": way.volume_mm3,
        "parts": way.parts,
        "joined_mm": float(np.diff(along)[way.joined[1:] | way.joined[:-1]].sum()),
        "left_out_mm3": way.left_out_mm3,
        "angle_to_cord_deg": _angle_deg(way, found, canal),
        "nearest_root": neighbour,
        "nearest_root_mm": apart_mm,
        "dorsal_dura_least_mm": np.nan,
        "dorsal_dura_at_entry_mm": np.nan,
    }
    if dura is not None and found.exit is not None:
        distance = dura.query(way.points_mm[: last + 1])[0]
        row["dorsal_dura_least_mm"] = float(distance.min())
        row["dorsal_dura_at_entry_mm"] = float(distance[: (found.entry or 0) + 1].mean())
    return row | _places(way, found)


def _places(way: Trajectory, found: Stretch) -> dict[str, float]:
    """Entry, exit from the sac and end of the root, RAS+ mm."""
    places = {"entry": way.points_mm[0], "end": way.points_mm[-1]}
    places["exit"] = np.full(3, np.nan) if found.exit is None else way.points_mm[found.exit]
    return {
        f"{name}_{axis}_mm": float(places[name][k])
        for name in ("entry", "exit", "end")
        for k, axis in enumerate("ras")
    }


def _nearest(root: Root, way: Trajectory, last: int, walls: dict) -> tuple[str, float]:
    """The root that comes nearest to this one's points up to `last`, and the mm between walls."""
    best, nearest = "", np.inf
    for other, (tree, radius_mm) in walls.items():
        if other != root:
            distance, at = tree.query(way.points_mm[: last + 1])
            gap_mm = (distance - radius_mm[at] - way.diameter_mm[: last + 1] / 2).min()
            if gap_mm < nearest:
                best, nearest = str(other), float(gap_mm)
    return best, max(nearest, 0.0) if best else np.nan


def _angle_deg(way: Trajectory, found: Stretch, canal: Canal | None) -> float:
    """Between the cord and the root's first stretch below its entry zone."""
    if canal is None or found.entry is None:
        return np.nan
    after = np.flatnonzero(way.along_mm <= way.along_mm[found.entry] + _BEYOND_MM)[-1]
    run = way.points_mm[min(after, found.exit or after)] - way.points_mm[found.entry]
    down = canal.cord_direction(way.points_mm[found.entry])
    if down is None or not np.linalg.norm(run):
        return np.nan
    return float(np.degrees(np.arccos(np.clip(run @ down / np.linalg.norm(run), -1, 1))))
