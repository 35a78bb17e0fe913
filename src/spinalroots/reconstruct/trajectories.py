"""The way of a root from its entry into the cord to its exit, and how thick it is along the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from spinalroots.imaging.components import components, touching_pairs
from spinalroots.imaging.curves import smooth

STIFFNESS_MM = 2.0
"""Waves of a trajectory shorter than about six times this are voxel steps and are smoothed away."""


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
    along = _distance_from_top(graph, places_mm)
    reached = np.isfinite(along)
    volume_mm3 = reached.sum() * voxel_mm3
    points_mm, section_mm2 = _centres(places_mm[reached], along[reached], spacing_mm, voxel_mm3)
    steps = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
    return Trajectory(
        points_mm,
        2 * np.sqrt(section_mm2 / np.pi),
        float(steps.sum()),
        float(volume_mm3),
        int(part.max()) + 1,
        float((~reached).sum() * voxel_mm3),
    )


def _bridges(places_mm: np.ndarray, part: np.ndarray, gap_mm: float) -> np.ndarray:
    """Voxel pairs (B, 2) that join parts, nearest first, no more than needed."""
    members = [np.flatnonzero(part == number) for number in range(part.max() + 1)]
    trees = [cKDTree(places_mm[own]) for own in members]
    options = []
    for a in range(len(members)):
        for b in range(a + 1, len(members)):
            distance, nearest = trees[b].query(places_mm[members[a]], distance_upper_bound=gap_mm)
            best = int(distance.argmin())
            if np.isfinite(distance[best]):
                pair = (int(members[a][best]), int(members[b][nearest[best]]))
                options.append((float(distance[best]), a, b, pair))
    joined = list(range(len(members)))
    chosen = []
    for _, a, b, pair in sorted(options):
        if joined[a] != joined[b]:
            old, new = joined[b], joined[a]
            joined = [new if group == old else group for group in joined]
            chosen.append(pair)
    return np.array(chosen, int).reshape(-1, 2)


def _distance_from_top(graph, places_mm: np.ndarray) -> np.ndarray:
    """Distance (N,) in mm along the graph from the upper end of its biggest part; inf elsewhere."""
    biggest = _biggest_group(graph)
    anywhere = int(biggest[0])
    one_end = _farthest(dijkstra(graph, directed=False, indices=anywhere))
    from_one = dijkstra(graph, directed=False, indices=one_end)
    other_end = _farthest(from_one)
    if places_mm[one_end, 2] >= places_mm[other_end, 2]:
        return from_one
    return dijkstra(graph, directed=False, indices=other_end)


def _biggest_group(graph) -> np.ndarray:
    _, group = connected_components(graph, directed=False)
    return np.flatnonzero(group == np.bincount(group).argmax())


def _farthest(distance: np.ndarray) -> int:
    return int(np.where(np.isfinite(distance), distance, -1).argmax())


def _centres(
    places_mm: np.ndarray, along_mm: np.ndarray, spacing_mm: float, voxel_mm3: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) every `spacing_mm` along the root and the area (N,) of its cross sections."""
    count = max(2, int(np.ceil((along_mm.max() + 1e-6) / spacing_mm)))
    step = max(along_mm.max() / count, 1e-6)
    bin_ = np.minimum((along_mm / step).astype(int), count - 1)
    filled = np.bincount(bin_, minlength=count)
    total = np.stack([np.bincount(bin_, places_mm[:, k], count) for k in range(3)], axis=-1)
    centres = total / np.maximum(filled, 1)[:, None]
    if count > 2:
        centres = smooth(centres, filled.astype(float), STIFFNESS_MM / step)
    area = filled * voxel_mm3 / step
    known = np.flatnonzero(filled)
    area = np.interp(np.arange(count), known, ndimage.gaussian_filter1d(area[known], 1.0))
    return centres, area
