"""The paper's flood fill (II-B), made exact: labels grow inside the entity mask, the nearest wins.

Distance is geodesic: the length in mm of the shortest path that stays inside the entity mask, from
voxel centre to voxel centre. So two roots that lie a hair apart never take voxels from each other
through the gap, and thick slices count as far as they are.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from spinalroots.imaging.boxes import bounding_box

_STEPS_BY_CONNECTIVITY = {6: 1, 18: 2, 26: 3}


@dataclass(frozen=True)
class Filled:
    """`labels` (X, Y, Z) uint8: the grown map, 0 outside the entity mask.

    `spill_voxels`: labelled voxels outside the entity mask, which were removed.
    `unreachable_voxels`: entity voxels without a path to any label; they stay 0.
    """

    labels: np.ndarray
    spill_voxels: int
    unreachable_voxels: int


def flood_fill(
    labels: np.ndarray, entity: np.ndarray, spacing_mm: np.ndarray, connectivity: int = 26
) -> Filled:
    """Grow every label over the entity voxels that are nearer to it than to any other label.

    Only voxels of the mask and their edges are looked at, so the cost follows the mask, not the
    volume: a graph of the unlabelled voxels and the labelled ones beside them, and one multi-source
    Dijkstra. Voxels that are labelled already keep their label.

    :param labels: (X, Y, Z) integers, 0 is unlabelled; every label takes part.
    :param entity: (X, Y, Z), non-zero where there is a root.
    :param spacing_mm: voxel edge lengths (3,).
    :param connectivity: 6, 18 or 26 neighbours.
    """
    inside = np.asarray(entity) != 0
    seeded = np.asarray(labels) != 0
    spill = int(np.count_nonzero(seeded > inside))
    grown = np.zeros(inside.shape, np.uint8)
    box = bounding_box(inside)
    if box is None:
        return Filled(grown, spill, 0)
    part = np.where(inside[box], np.asarray(labels)[box], 0).astype(np.uint8)
    unreachable = _grow(part, inside[box], np.asarray(spacing_mm, float), connectivity)
    grown[box] = part
    return Filled(grown, spill, unreachable)


def neighbour_offsets(connectivity: int) -> np.ndarray:
    """Index offsets (connectivity, 3) of the 6, 18 or 26 neighbours of a voxel."""
    reach = _STEPS_BY_CONNECTIVITY[connectivity]
    offsets = np.array(list(product((-1, 0, 1), repeat=3)))
    steps = np.abs(offsets).sum(axis=1)
    return offsets[(steps > 0) & (steps <= reach)]


def _grow(labels: np.ndarray, inside: np.ndarray, spacing_mm: np.ndarray, connectivity: int) -> int:
    """Label the zeros of `labels` inside the mask in place; the number that no label reaches."""
    padded = tuple(size + 2 for size in inside.shape)
    voxels = np.argwhere(inside).astype(np.int32)
    place = np.asarray(np.ravel_multi_index(tuple(voxels.T + 1), padded))
    owner = labels[inside]
    node = np.zeros(int(np.prod(padded)), np.int32)  # 0 outside; untouched pages cost no memory
    node[place] = np.arange(1, len(place) + 1, dtype=np.int32)
    open_nodes = np.flatnonzero(owner == 0)
    if not open_nodes.size:
        return 0
    start = place[open_nodes]
    strides = (padded[1] * padded[2], padded[2], 1)
    begin, end, length = [], [], []
    for offset in neighbour_offsets(connectivity):
        neighbour = node.take(start + np.dot(offset, strides))
        there = neighbour > 0
        begin.append(neighbour[there] - 1)
        end.append(open_nodes[there].astype(np.int32))
        length.append(np.full(there.sum(), np.linalg.norm(offset * spacing_mm)))
    source, size = np.concatenate(begin), len(place)
    edges = (np.concatenate(length), (source, np.concatenate(end)))
    graph = csr_array(edges, shape=(size, size))
    seeds = np.unique(source[owner[source] > 0])
    if not seeds.size:
        return len(open_nodes)
    _, _, nearest = dijkstra(graph, indices=seeds, min_only=True, return_predecessors=True)
    reached = nearest >= 0
    owner[reached] = owner[nearest[reached]]
    labels[inside] = owner
    return int(np.count_nonzero(owner == 0))
