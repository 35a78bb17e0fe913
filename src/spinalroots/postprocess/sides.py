"""From a network's labels to the maps that a person gets: specks out, left and right in.

The mid-sagittal surface alone would cut a root that bulges across it, and a part's centre alone
would give two roots that touch to one side. So the sides are the minimum of an energy over all
divisions of a connected part: every voxel on the wrong side of the surface costs its distance from
it, every face between voxels of different sides costs its area. A bulge is cheaper left whole, two
touching roots are cheaper cut where they touch. The optimum is exact: a minimum cut (Greig,
Porteous and Seheult 1989).
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.components import components, touching_pairs, without_specks
from spinalroots.imaging.volume import Grid, Volume
from spinalroots.postprocess.midline import MidSurface, find_pairs
from spinalroots.registry.anatomy import ROOTS, Scheme, Side, Target, Type, individuals_to_levels

ROUNDS = 3
"""Sides and surface are found in turn this often."""
FARTHEST_MM = 3.0
"""Being further on the wrong side than this costs no more."""
UNITS = 1000
"""Capacities are whole numbers: thousandths of a mm²."""


def split_sides(
    levels: np.ndarray,
    grid: Grid,
    centreline: Centreline,
    *,
    type_: Type = Type.DORSAL,
    side_pull: float = 3.0,
) -> np.ndarray:
    """Individual map (X, Y, Z) uint8 of a level map (X, Y, Z) uint8 on a RAS+ grid.

    :param type_: dorsal or ventral, which a level map does not tell.
    :param side_pull: 1/mm: cost of a cubic millimetre at a millimetre on the wrong side, in mm² of
        cut. The larger, the closer the division keeps to the mid-sagittal surface.
    """
    voxels = np.argwhere(levels)
    individuals = np.zeros(levels.shape, np.uint8)
    if not len(voxels):
        return individuals
    level = levels[tuple(voxels.T)]
    part = components(levels)[0][tuple(voxels.T)]
    surface = MidSurface.straight(grid, centreline)
    for _ in range(ROUNDS):
        rightwards_mm = surface.rightwards_mm(voxels)
        right = cut_parts(voxels, part, rightwards_mm, grid.spacing_mm, side_pull)
        surface = surface.fitted(find_pairs(voxels, level, right, grid.spacing_mm))
    right = cut_parts(voxels, part, surface.rightwards_mm(voxels), grid.spacing_mm, side_pull)
    individuals[tuple(voxels.T)] = _values(type_)[right.astype(int), level]
    return individuals


def cut_parts(
    voxels: np.ndarray,
    part: np.ndarray,
    rightwards_mm: np.ndarray,
    spacing_mm: np.ndarray,
    side_pull: float,
) -> np.ndarray:
    """Which of the voxels (N, 3) are right (N,) bool: every connected part divided at least cost.

    :param part: (N,) number of the connected part of each voxel.
    :param rightwards_mm: (N,) signed distance from the mid-sagittal surface.
    """
    right = rightwards_mm > 0
    order = np.argsort(part, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        if right[members].any() and not right[members].all():
            right[members] = _least_cut(
                voxels[members], rightwards_mm[members], spacing_mm, side_pull
            )
    return right


def _least_cut(
    voxels: np.ndarray, rightwards_mm: np.ndarray, spacing_mm: np.ndarray, side_pull: float
) -> np.ndarray:
    """Right (N,) bool of one part's voxels (N, 3) by the minimum cut between left and right."""
    count = len(voxels)
    source, sink = count, count + 1
    pull = np.clip(rightwards_mm, -FARTHEST_MM, FARTHEST_MM) * side_pull * spacing_mm.prod()
    leftish, rightish = np.flatnonzero(pull < 0), np.flatnonzero(pull >= 0)
    first, second, area = _faces(voxels, spacing_mm)
    rows = np.concatenate([np.full(len(leftish), source), rightish, first, second])
    columns = np.concatenate([leftish, np.full(len(rightish), sink), second, first])
    capacity = np.concatenate([-pull[leftish], pull[rightish], area, area])
    capacity = np.rint(capacity * UNITS).astype(np.int32)
    graph = coo_array((capacity, (rows, columns)), shape=(count + 2, count + 2)).tocsr()
    flow = maximum_flow(graph, source, sink).flow
    residual = graph - flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    left = breadth_first_order(residual, source, return_predecessors=False)
    right = np.ones(count + 2, bool)
    right[left] = False
    return right[:count]


def _faces(voxels: np.ndarray, spacing_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of voxels (N, 3) that touch, by index, and the area between them in mm².

    Voxels that touch at an edge or a corner only count with a sliver, so that a thin root that runs
    aslant stays one.
    """
    first, second, steps = touching_pairs(voxels)
    across = np.where(steps == 0, spacing_mm, 1).prod(axis=1)
    sliver = 0.1 * spacing_mm.prod() ** (2 / 3)
    return first, second, np.where(np.count_nonzero(steps, axis=1) == 1, across, sliver)


def _values(type_: Type) -> np.ndarray:
    """Individual label (2, 256) of left and right for each level value."""
    table = np.zeros((2, 256), np.uint8)
    for root in ROOTS:
        if root.type is type_:
            table[int(root.side is Side.RIGHT), root.level_index + 1] = root.value
    return table


def root_maps(
    prediction: Volume,
    target: Target,
    centreline: Centreline,
    *,
    island_mm3: float,
    side_pull: float,
) -> dict[Scheme, Volume]:
    """Entity, level and individual maps of a prediction, on its grid.

    :param prediction: stored label values (X, Y, Z) uint8 of the target's scheme, in RAS+.
    :param target: a level target's roots get sides from the centreline, and the target's type; an
        individual target's labels have both already; an entity target has nothing but the entity.
    :param island_mm3: connected parts of a label that are smaller become background.
    :param side_pull: see :func:`split_sides`.
    """
    labels = without_specks(prediction.data, island_mm3 / prediction.grid.voxel_mm3)
    maps = {Scheme.ENTITY: (labels > 0).astype(np.uint8)}
    if target.scheme is Scheme.LEVELS:
        maps[Scheme.INDIVIDUALS] = split_sides(
            labels,
            prediction.grid,
            centreline,
            type_=target.types[0],
            side_pull=side_pull,
        )
        maps[Scheme.LEVELS] = labels
    elif target.scheme is Scheme.INDIVIDUALS:
        maps[Scheme.INDIVIDUALS] = labels
        maps[Scheme.LEVELS] = individuals_to_levels(labels)
    return {scheme: prediction.with_data(data) for scheme, data in maps.items()}
