"""Whether a surface crosses itself."""

import numpy as np
import trimesh
from scipy.spatial import cKDTree

_EDGES = ((0, 1), (1, 2), (2, 0))
_NEARLY = 1e-9


def crosses_itself(surface: trimesh.Trimesh) -> bool:
    """Whether any edge of the surface runs through a triangle that it has no corner of."""
    return len(crossings(surface.vertices, surface.faces)) > 0


def crossings(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Pairs (N, 2) of triangles (F, 3) over vertices (V, 3) of which an edge of the first runs
    through the second (Möller and Trumbore 1997). Triangles in one plane do not count."""
    corners = np.asarray(vertices, float)[faces]
    pairs = _near(corners)
    found = [np.zeros((0, 2), int)]
    for one, other in (pairs.T, pairs.T[::-1]):
        for start, end in _EDGES:
            edge = faces[one][:, [start, end]]
            apart = ~(edge[:, :, None] == faces[other][:, None]).any(axis=(1, 2))
            first, second = one[apart], other[apart]
            through = _runs_through(corners[first, start], corners[first, end], corners[second])
            found.append(np.stack([first[through], second[through]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _near(corners: np.ndarray) -> np.ndarray:
    """Pairs (N, 2) of triangles (F, 3, 3) whose boxes overlap."""
    middle = corners.mean(axis=1)
    reach = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)
    tree, lists = cKDTree(middle), []
    order = np.argsort(reach)
    for part in np.array_split(order, max(1, len(order) // 4096)):  # of about one size
        near = tree.query_ball_point(middle[part], 2 * reach[part], return_sorted=False)
        counts = np.array([len(found) for found in near])
        lists.append(np.stack([np.repeat(part, counts), np.concatenate(near).astype(int)], axis=1))
    pairs = np.concatenate(lists)
    first, second = pairs.T
    larger = (reach[first] > reach[second]) | ((reach[first] == reach[second]) & (first > second))
    first, second = pairs[larger].T  # each pair once, from the larger of the two
    low, high = corners.min(axis=1), corners.max(axis=1)
    meet = ((low[first] <= high[second]) & (low[second] <= high[first])).all(axis=1)
    return np.stack([first[meet], second[meet]], axis=1)


def _runs_through(start: np.ndarray, end: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Which segments (N, 3) to (N, 3) cut through the inside of their triangles (N, 3, 3)."""
    along = end - start
    first, second = triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    across = np.cross(along, second)
    flat = np.einsum("ij,ij->i", first, across)
    known = np.abs(flat) > _NEARLY * np.linalg.norm(along, axis=1) * np.linalg.norm(
        np.cross(first, second), axis=1
    )
    flat = np.where(known, flat, 1.0)
    away = start - triangle[:, 0]
    u = np.einsum("ij,ij->i", away, across) / flat
    turned = np.cross(away, first)
    v = np.einsum("ij,ij->i", along, turned) / flat
    at = np.einsum("ij,ij->i", second, turned) / flat
    inner = (u > _NEARLY) & (v > _NEARLY) & (u + v < 1 - _NEARLY)
    return known & inner & (at > _NEARLY) & (at < 1 - _NEARLY)
