"""The way of a root from its entry into the cord to its exit, and how thick it is along the way."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from scipy.spatial import cKDTree

from spinalroots.imaging.centreline import smooth
from spinalroots.imaging.components import components, touching_pairs

STIFFNESS_MM = 2.0
"""Waves of a trajectory shorter than about six times this are voxel steps and are smoothed away."""
_NEIGHBOURS = 3
"""Parts of the line on either side of a voxel's own that may be nearer to it."""
_INSIDE_MM, _RAYS, _STEP_MM = 2.0, 64, 0.05
"""How far inside a root's end rays start that look for it, how many, and how finely they look."""
_SLABS = 8
"""Parts of a voxel that are counted each in the cross section where it lies."""


@dataclass(frozen=True)
class Trajectory:
    """`points_mm` (N, 3): RAS+ mm from entry (above) to exit; `diameter_mm` (N,) of a round root.

    `length_mm`: along the points. `volume_mm3`: of the voxels followed. `parts`: connected parts
    that the root is made of; `left_out_mm3`: volume of those too far away to be joined.
    """

    points_mm: np.ndarray
    diameter_mm: np.ndarray
    length_mm: float
    volume_mm3: float
    parts: int
    left_out_mm3: float

    @property
    def mean_diameter_mm(self) -> float:
        """Diameter of a round root of that volume and length."""
        return float(2 * np.sqrt(self.volume_mm3 / (np.pi * max(self.length_mm, 1e-6))))


def trace_root(
    mask: np.ndarray, affine: np.ndarray, *, spacing_mm: float = 1.0, gap_mm: float = 10.0
) -> Trajectory:
    """Trajectory through a root's mask (X, Y, Z), which must not be empty.

    The distance along the root is measured inside the mask from its upper end; points are the
    centres of the voxels of equal distance, so that strands that run side by side share a middle.
    The first and the last point lie where the mask ends.

    :param affine: (4, 4) voxel → RAS+ mm.
    :param spacing_mm: distance of the points.
    :param gap_mm: parts closer than this are joined by the shortest bridge.
    """
    voxels = np.argwhere(mask)
    places_mm = apply_affine(affine, voxels)
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    part = components(mask)[0][tuple(voxels.T)] - 1
    first, second, _ = touching_pairs(voxels)
    bridges = _bridges(places_mm, part, gap_mm)
    first, second = np.append(first, bridges[:, 0]), np.append(second, bridges[:, 1])
    length = np.linalg.norm(places_mm[first] - places_mm[second], axis=1)
    graph = coo_array((length, (first, second)), shape=(len(voxels),) * 2).tocsr()
    along = _distance_from_an_end(graph)
    reached = np.isfinite(along)
    volume_mm3 = reached.sum() * voxel_mm3
    places_mm, along = places_mm[reached], along[reached]
    way = places_mm[along.argmax()] - places_mm[along.argmin()]
    thick_mm = float(np.linalg.norm(way @ affine[:3, :3]) / max(float(np.linalg.norm(way)), 1e-6))
    points_mm, bin_, step_mm = _centres(places_mm, along, spacing_mm, thick_mm)
    for _ in range(5):  # along the line instead of from one voxel: its ends are cut across
        along = _along(places_mm, points_mm, bin_)
        points_mm, bin_, step_mm = _centres(places_mm, along, spacing_mm, thick_mm)
    radius_mm = np.sqrt(volume_mm3 / (np.pi * step_mm * len(points_mm)))
    first, last = (_end(mask, affine, points_mm[::way], radius_mm, step_mm) for way in (1, -1))
    points_mm = np.concatenate([first[None], points_mm, last[None]])
    steps = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
    reach_mm = np.full(len(points_mm) - 2, step_mm)
    reach_mm[[0, -1]] = step_mm / 2 + steps[[0, -1]]
    section_mm2 = _sections(along, step_mm, reach_mm, thick_mm) * voxel_mm3
    if points_mm[0, 2] < points_mm[-1, 2]:
        points_mm, section_mm2 = points_mm[::-1], section_mm2[::-1]
    return Trajectory(
        points_mm,
        2 * np.sqrt(section_mm2 / np.pi),
        float(steps.sum()),
        float(volume_mm3),
        int(part.max()) + 1,
        float((~reached).sum() * voxel_mm3),
    )


def _bridges(places_mm: np.ndarray, part: np.ndarray, gap_mm: float) -> np.ndarray:
    """Voxel pairs (B, 2) that join parts by the shortest bridges, no more than needed."""
    members = [np.flatnonzero(part == number) for number in range(part.max() + 1)]
    trees = [cKDTree(places_mm[own]) for own in members]
    apart_mm, pairs = np.zeros((len(members),) * 2), {}
    for a, b in combinations(range(len(members)), 2):
        distance, nearest = trees[b].query(places_mm[members[a]], distance_upper_bound=gap_mm)
        best = int(distance.argmin())
        if np.isfinite(distance[best]):
            apart_mm[a, b] = distance[best]
            pairs[a, b] = members[a][best], members[b][nearest[best]]
    chosen = np.argwhere(minimum_spanning_tree(apart_mm).toarray())
    return np.array([pairs[a, b] for a, b in chosen.tolist()], int).reshape(-1, 2)


def _distance_from_an_end(graph) -> np.ndarray:
    """Distance (N,) in mm along the graph from an end of its biggest part; inf elsewhere."""
    _, group = connected_components(graph, directed=False)
    anywhere = int((group == np.bincount(group).argmax()).argmax())
    distance = dijkstra(graph, directed=False, indices=anywhere)
    end = int(np.where(np.isfinite(distance), distance, -1).argmax())
    return dijkstra(graph, directed=False, indices=end)


def _centres(
    places_mm: np.ndarray, along_mm: np.ndarray, spacing_mm: float, thick_mm: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Points (N, 3) about every `spacing_mm` along the root, the point (V,) that each voxel belongs
    to, and the points' step in mm; voxels are `thick_mm` thick along the root."""
    whole_mm = float(along_mm.max()) + thick_mm
    count = max(2, int(np.ceil((whole_mm - 1e-6) / spacing_mm)))
    step_mm = max(whole_mm / count, 1e-6)
    bin_ = np.minimum(((along_mm + thick_mm / 2) / step_mm).astype(int), count - 1)
    filled = np.bincount(bin_, minlength=count)
    total = np.stack([np.bincount(bin_, places_mm[:, k], count) for k in range(3)], axis=-1)
    centres = total / np.maximum(filled, 1)[:, None]
    if count > 2:
        centres = smooth(centres, filled / filled.mean(), STIFFNESS_MM / step_mm)
    return centres, bin_, step_mm


def _sections(
    along_mm: np.ndarray, step_mm: float, reach_mm: np.ndarray, thick_mm: float
) -> np.ndarray:
    """Voxels per mm about the points, and once more at either end: (N + 2,).

    Each voxel is spread over its thickness; `reach_mm` (N,): length of root about each point.
    """
    spread = along_mm[:, None] + (np.arange(_SLABS) + 0.5) / _SLABS * thick_mm
    bin_ = np.minimum((spread.ravel() / step_mm).astype(int), len(reach_mm) - 1)
    filled = np.bincount(bin_, minlength=len(reach_mm)) / _SLABS / reach_mm
    known = np.flatnonzero(filled)
    even = ndimage.gaussian_filter1d(filled[known], 1.0)
    return np.pad(np.interp(np.arange(len(filled)), known, even), 1, mode="edge")


def _along(places_mm: np.ndarray, points_mm: np.ndarray, bin_: np.ndarray) -> np.ndarray:
    """Where along the line (N, 3) its nearest place is, in mm from the first voxel on.

    Only the line's parts about a voxel's own point are asked, for a root that turns back; beyond
    its ends the line goes on straight.
    """
    starts, parts = points_mm[:-1], np.diff(points_mm, axis=0)
    long = np.maximum(np.linalg.norm(parts, axis=1), 1e-6)
    before = np.append(0.0, np.cumsum(long))
    nearest, along = np.full(len(places_mm), np.inf), np.zeros(len(places_mm))
    for shift in range(-_NEIGHBOURS, _NEIGHBOURS):
        part = np.clip(bin_ + shift, 0, len(parts) - 1)
        away, unit = places_mm - starts[part], parts[part] / long[part, None]
        on = np.einsum("ij,ij->i", away, unit)
        on = np.maximum(on, np.where(part == 0, -np.inf, 0))
        on = np.minimum(on, np.where(part == len(parts) - 1, np.inf, long[part]))
        distance = np.linalg.norm(away - on[:, None] * unit, axis=1)
        nearer = distance < nearest
        nearest[nearer], along[nearer] = distance[nearer], (before[part] + on)[nearer]
    return along - along.min()


def _end(
    mask: np.ndarray, affine: np.ndarray, points_mm: np.ndarray, radius_mm: float, spacing_mm: float
) -> np.ndarray:
    """Where the root (3,) ends before the first of its points: the mean of rays inside the mask.

    The rays start inside, run with the line and fill the middle of the root, so that neither a
    voxel's edge nor a rounded rim decides. Where the middle is empty, as between strands, the root
    ends half a spacing before its first point.
    """
    inner = min(round(_INSIDE_MM / spacing_mm) or 1, len(points_mm) - 1)
    way = points_mm[0] - points_mm[inner]
    known_mm = max(float(np.linalg.norm(way)), 1e-6)
    way = way / known_mm
    turn, radius = np.arange(_RAYS) * np.pi * (3 - np.sqrt(5)), np.sqrt(np.arange(_RAYS) / _RAYS)
    disc = 0.6 * radius_mm * radius * np.stack([np.cos(turn), np.sin(turn)])
    aside = np.linalg.svd(way[None])[2][1:]
    on_mm = np.arange(_STEP_MM / 2, known_mm + 2 * radius_mm + 2 * spacing_mm, _STEP_MM)
    places = points_mm[inner] + (disc.T @ aside)[:, None] + on_mm[:, None] * way
    voxels = np.rint((places - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    inside = ((voxels >= 0) & (voxels < mask.shape)).all(axis=-1)
    inside[inside] = mask[tuple(voxels[inside].T)]
    length = inside.sum(axis=1) * _STEP_MM
    if np.count_nonzero(length) < _RAYS / 2:
        return points_mm[0] + way * spacing_mm / 2
    return points_mm[0] + way * max(length[length > 0].mean() - known_mm, 0)
