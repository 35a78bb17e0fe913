"""A root's voxels in their order from one end to the other, its pieces joined by bridges."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from nibabel.affines import apply_affine
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from scipy.spatial import cKDTree

from spinalroots.imaging.boxes import label_boxes
from spinalroots.imaging.components import components, touching_pairs


@dataclass(frozen=True)
class Thread:
    """`places_mm` (V, 3): centres of the voxels that hang together; `along_mm` (V,): distance from
    one end, inside the mask.

    `touching` (2, T), `bridges` (2, B): voxels that touch, and those that a bridge over a gap of
    the mask joins; `way` (W,): the voxels of the shortest way from end to end, in order. `parts`:
    connected parts of the mask; `left_out`: voxels of parts too far away to be joined.
    """

    places_mm: np.ndarray
    along_mm: np.ndarray
    touching: np.ndarray
    bridges: np.ndarray
    way: np.ndarray
    parts: int
    left_out: int

    def strands(self, bin_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Connected parts within the voxels of each bin, such as rootlets side by side.

        :param bin_: (V,) number of the stretch that a voxel lies in, from 0 on.
        :return: (V,) whether a voxel belongs to a part that :attr:`way` runs through, or there is
            none in its bin; (bins,) number of parts.
        """
        first, second = self.touching[:, bin_[self.touching[0]] == bin_[self.touching[1]]]
        graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(bin_),) * 2)
        _, part = connected_components(graph, directed=False)
        main = np.isin(part, part[self.way])
        reached = np.bincount(bin_[main], minlength=bin_.max() + 1) > 0
        counts = np.bincount(bin_[np.unique(part, return_index=True)[1]], minlength=len(reached))
        return main | ~reached[bin_], counts

    def way_through(self, cost: np.ndarray) -> np.ndarray:
        """The voxels (W,) of the cheapest way between the two ends of :attr:`way`, in order.

        :param cost: (V,) of a mm through each voxel, above 0.
        """
        first, second = pairs = np.concatenate([self.touching, self.bridges], axis=1)
        length_mm = np.linalg.norm(self.places_mm[first] - self.places_mm[second], axis=1)
        weights = length_mm * (cost[first] + cost[second]) / 2
        graph = coo_array((weights, tuple(pairs)), shape=(len(cost),) * 2).tocsr()
        start, end = self.way[[0, -1]].tolist()
        _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
        return _back_to(start, end, before)


def thread_of(mask: np.ndarray, affine: np.ndarray, gap_mm: float) -> Thread:
    """The voxels of a mask (X, Y, Z) that is not empty, in order.

    :param affine: (4, 4) voxel → RAS+ mm.
    :param gap_mm: parts closer than this are joined by the shortest bridge.
    """
    box = label_boxes(mask.astype(np.uint8))[1]
    inside = np.argwhere(mask[box])
    part = components(mask[box])[0][tuple(inside.T)] - 1
    voxels = inside + [side.start for side in box]
    places_mm = apply_affine(affine, voxels)
    touching = np.stack(touching_pairs(voxels)[:2])
    bridges = _bridges(places_mm, part, gap_mm)
    first, second = pairs = np.concatenate([touching, bridges], axis=1)
    length_mm = np.linalg.norm(places_mm[first] - places_mm[second], axis=1)
    graph = coo_array((length_mm, tuple(pairs)), shape=(len(voxels),) * 2).tocsr()
    along_mm, way = _from_end_to_end(graph, places_mm)
    reached = np.isfinite(along_mm)
    number = np.cumsum(reached) - 1
    return Thread(
        places_mm[reached],
        along_mm[reached],
        number[touching[:, reached[touching[0]]]],
        number[bridges[:, reached[bridges[0]]]],
        number[way],
        int(part.max()) + 1,
        int(np.count_nonzero(~reached)),
    )


def _bridges(places_mm: np.ndarray, part: np.ndarray, gap_mm: float) -> np.ndarray:
    """Voxel pairs (2, B) that join parts by the shortest bridges, no more than needed."""
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
    return np.array([pairs[a, b] for a, b in chosen.tolist()], int).reshape(-1, 2).T


def _from_end_to_end(graph: csr_array, places_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) in mm inside the mask from an end of its biggest part, inf elsewhere; and the
    voxels (W,) on the way to the other end.

    Distances go by steps of up to two voxels. By steps of one they are longer aslant than along an
    axis by up to a tenth, and the shorter of two branches may seem the longer.
    """
    _, group = connected_components(graph, directed=False)
    anywhere = int((group == np.bincount(group).argmax()).argmax())
    touching = graph + graph.T
    wide = (touching @ touching + touching).tocoo()
    first, second = wide.coords
    length_mm = np.linalg.norm(places_mm[first] - places_mm[second], axis=1)
    wide = coo_array((length_mm, (first, second)), shape=graph.shape).tocsr()
    start = _furthest(dijkstra(wide, directed=False, indices=anywhere))
    distance = dijkstra(wide, directed=False, indices=start)
    _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    return distance, _back_to(start, _furthest(distance), before)


def _furthest(distance: np.ndarray) -> int:
    return int(np.where(np.isfinite(distance), distance, -1).argmax())


def _back_to(start: int, end: int, before: np.ndarray) -> np.ndarray:
    """The voxels (W,) from `start` to `end`, of which each knows the one `before` it."""
    way = [end]
    while way[-1] != start:
        way.append(int(before[way[-1]]))
    return np.array(way[::-1])
