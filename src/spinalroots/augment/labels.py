"""Label maps under a spatial transform, with roots that stay in one piece.

A root is one to three voxels wide. Nearest neighbour and linear interpolation of the labels both
tear such threads. Here every connected part of every label is interpolated linearly on its own,
which gives each voxel a *share* of each part. The largest shares become the label, as many as keep
the part's volume, and a part that fell apart is joined again along the voxels in which its share is
largest: a minimum spanning tree over the voxels with any share, cut back to what the pieces need.
docs/augmentation.md compares the methods.
"""

from collections.abc import Mapping

import numpy as np

from spinalroots.imaging.components import STEPS, components
from spinalroots.registry.anatomy import Scheme

ROOT_SCHEMES = (Scheme.INDIVIDUALS, Scheme.LEVELS, Scheme.ENTITY)

ROUNDS = 3
"""Bridges of two parts may want one voxel: the loser looks for another way in the next round."""


def warp_labels(
    label_maps: Mapping[Scheme, np.ndarray], source: np.ndarray
) -> dict[Scheme, np.ndarray]:
    """Label maps of any schemes on the grid of `source`.

    Root schemes are warped as one map of their combined labels, so that entity, level and
    individual maps still tell the same story afterwards. Tissues are wide: they take the nearest
    neighbour.

    :param label_maps: scheme → (X, Y, Z) uint8.
    :param source: (3, X', Y', Z') float, where each voxel of the result comes from (voxels).
    """
    warped = {}
    roots = [scheme for scheme in ROOT_SCHEMES if scheme in label_maps]
    if roots:
        stacked = np.stack([label_maps[scheme].ravel() for scheme in roots])
        marked = np.flatnonzero(stacked.any(axis=0))
        combinations, codes = np.unique(stacked[:, marked], axis=1, return_inverse=True)
        joint = np.zeros(stacked.shape[1], np.int32)
        joint[marked] = codes.ravel() + 1
        table = np.concatenate([np.zeros((len(roots), 1), np.uint8), combinations], axis=1)
        result = warp_threads(joint.reshape(label_maps[roots[0]].shape), source)
        warped = {
            scheme: row[result].astype(np.uint8) for scheme, row in zip(roots, table, strict=True)
        }
    for scheme in label_maps:
        if scheme not in warped:
            warped[scheme] = nearest(label_maps[scheme], source)
    return {scheme: warped[scheme] for scheme in label_maps}


def nearest(labels: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Label of the nearest voxel; 0 outside the map."""
    inside, index = _within(np.rint(source).astype(np.int32), labels.shape)
    return np.where(inside, labels[tuple(index)], labels.dtype.type(0))


def _within(index: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which indices (3, ...) lie inside an array of `shape` (bool), and the nearest that do."""
    nearest = np.stack([one.clip(0, length - 1) for one, length in zip(index, shape, strict=True)])
    return (nearest == index).all(axis=0), nearest


def warp_threads(labels: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Labels (X, Y, Z, whole numbers, 0 background) on the grid of `source`, threads unbroken.

    What is one 26-connected component of a label stays one as long as it lies inside the new grid
    and no other label takes its place.
    """
    shape = source.shape[1:]
    result = np.zeros(shape, labels.dtype)
    parts, label_of_part = components(labels)
    if not len(label_of_part):
        return result
    voxels, owners, shares = part_shares(parts, source)
    if not len(voxels):
        return result
    kept = _largest_shares(voxels, owners, shares)
    kept |= _one_voxel_each(owners, shares, kept)
    holder = np.zeros(np.prod(shape), np.int32)
    holder[voxels[kept]] = owners[kept]
    for _ in range(ROUNDS):
        bridges = _bridges(voxels, owners, shares, holder, shape)
        if not bridges.any():
            break
        holder[voxels[bridges]] = owners[bridges]
    return np.concatenate([[0], label_of_part]).astype(labels.dtype)[holder].reshape(shape)


def part_shares(parts: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear interpolation of every part's own mask, where it is not zero.

    :returns: (n,) flat voxel index in the new grid, (n,) part number, (n,) share in (0, 1],
        sorted by part and voxel.
    """
    padded = np.pad(parts, 1)
    occupied = padded > 0
    for _ in range(3):
        occupied = np.moveaxis(occupied[1:] | occupied[:-1], 0, -1)
    valid, floor = _within(np.floor(source).astype(np.int32) + 1, occupied.shape)
    voxels = np.flatnonzero(valid & occupied[tuple(floor)])
    corner = floor.reshape(3, -1)[:, voxels]
    fraction = source.reshape(3, -1)[:, voxels].astype(np.float64) - (corner - 1)

    keys, weights = [], []
    total = np.int64(np.prod(source.shape[1:]))
    for offset in np.ndindex(2, 2, 2):
        owner = padded[tuple(corner + np.array(offset)[:, None])]
        weight = np.prod(
            [f if step else 1 - f for f, step in zip(fraction, offset, strict=True)], axis=0
        )
        some = (owner > 0) & (weight > 0)
        keys.append(owner[some] * total + voxels[some])
        weights.append(weight[some])
    key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    share = np.bincount(inverse, np.concatenate(weights), minlength=len(key))
    return key % total, key // total, share


def _largest_shares(voxels: np.ndarray, owners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mask (n,) of the entries that become labels.

    A voxel goes to the part with the largest share in it. Of its voxels a part keeps those with the
    largest shares, as many as its shares sum to: its volume, scaled as the transform scales it.
    """
    candidates = _leaders(voxels, shares)
    order = candidates[np.lexsort((-shares[candidates], owners[candidates]))]
    part, first, count = np.unique(owners[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, count)
    volume = np.rint(np.bincount(owners, shares)[part])
    kept = np.zeros(len(voxels), bool)
    kept[order[rank < np.repeat(volume, count)]] = True
    return kept


def _leaders(groups: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Index of the entry with the largest share in each group (the first one in a tie)."""
    order = np.lexsort((-shares, groups))
    first = np.ones(len(order), bool)
    first[1:] = groups[order][1:] != groups[order][:-1]
    return order[first]


def _one_voxel_each(owners: np.ndarray, shares: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mask (n,) with the largest share of every part that kept no voxel at all."""
    leaders = _leaders(owners, shares)
    saved = np.zeros(len(owners), bool)
    saved[leaders] = ~np.isin(owners[leaders], owners[kept])
    return saved


def _bridges(
    voxels: np.ndarray,
    owners: np.ndarray,
    shares: np.ndarray,
    holder: np.ndarray,
    shape: tuple[int, int, int],
) -> np.ndarray:
    """Mask (n,) of further entries that join the pieces of each part.

    A voxel that another part holds is taken only where there is no other way.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    own = holder[voxels] == owners
    taken = (holder[voxels] > 0) & ~own
    cost = np.where(own, 1e-6, 1.0 - shares + 1e-3) + taken
    start, end = neighbour_pairs(voxels, owners, shape)
    weight = np.maximum(cost[start], cost[end])
    count = len(voxels)
    tree = minimum_spanning_tree(coo_array((weight, (start, end)), (count, count)).tocsr()).tocoo()
    start, end = tree.row, tree.col
    alive = np.ones(count, bool)
    while True:
        degree = np.bincount(start, minlength=count) + np.bincount(end, minlength=count)
        leaf = alive & ~own & (degree <= 1)
        if not leaf.any():
            return alive & ~own
        alive &= ~leaf
        still = alive[start] & alive[end]
        start, end = start[still], end[still]


def neighbour_pairs(
    voxels: np.ndarray, owners: np.ndarray, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of entries (i, j) of the same part in 26-neighbouring voxels, each pair once.

    Entries must be sorted by part and voxel.
    """
    x, y, z = np.unravel_index(voxels, shape)
    wide = np.array(shape, np.int64) + 2
    place = ((owners.astype(np.int64) * wide[0] + x + 1) * wide[1] + y + 1) * wide[2] + z + 1
    starts, ends = [], []
    for dx, dy, dz in STEPS.tolist():
        wanted = place + (dx * wide[1] + dy) * wide[2] + dz
        found = np.searchsorted(place, wanted).clip(max=len(place) - 1)
        hit = np.flatnonzero(place[found] == wanted)
        starts.append(hit)
        ends.append(found[hit])
    return np.concatenate(starts), np.concatenate(ends)
