"""Label maps under spatial transforms."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from spinalroots.augment import labels, transforms
from spinalroots.imaging.components import components
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import REFINED_ROOTS, Scheme, individuals_to_levels

ROOT = Path(__file__).resolve().parents[1]
NEIGHBOURS = np.ones((3, 3, 3))
SPACING_MM = (0.8, 0.8, 1.2)


@lru_cache
def thin_roots(shape=(48, 44, 90), count=8, seed=0) -> np.ndarray:
    """Curved threads, one to two voxels wide, side by side as in the cauda equina."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.indices(shape), axis=-1).reshape(-1, 3)
    result = np.zeros(len(grid), np.uint8)
    along = np.linspace(0, 1, 400)[:, None]
    for index, root in enumerate(REFINED_ROOTS[:count]):
        side = -1 if root.side == "L" else 1
        start = np.array([24 + side * 3, 14 + 2 * (index // 2), 78 - 5 * (index // 2)])
        end = np.array([24 + side * (8 + rng.uniform(0, 3)), 22 + index, 12])
        bow = np.array([side * 2, rng.uniform(-3, 3), 0]) * np.sin(np.pi * along)
        curve = start + along * (end - start) + bow
        box = ((grid >= curve.min(0) - 2) & (grid <= curve.max(0) + 2)).all(axis=1)
        near = np.flatnonzero(box)
        distance = np.linalg.norm(grid[near][:, None] - curve[::4], axis=2).min(axis=1)
        result[near[(distance < 0.9) & (result[near] == 0)]] = root.value
    return result.reshape(shape)


def pieces(mask: np.ndarray) -> int:
    return ndimage.label(mask, NEIGHBOURS)[1]


def touches_border(mask: np.ndarray) -> bool:
    return any(mask.take(edge, axis).any() for axis in range(3) for edge in (0, -1))


def identity(shape) -> np.ndarray:
    return np.indices(shape).astype(np.float32)


@pytest.fixture(scope="module")
def limits():
    return params.load(ROOT / "params.yaml", scale="laptop").augment


@pytest.fixture(scope="module")
def spatial_draws(limits):
    """(individual map, source coordinates) of 30 draws within the default limits."""
    draws = []
    for index in range(30):
        roots = thin_roots(seed=index % 5)
        plan = transforms.draw(limits, np.random.default_rng([7, index]), transforms.SPATIAL)
        draws.append((roots, transforms.source_coordinates(plan, roots.shape, SPACING_MM)))
    return draws


def test_identity_changes_nothing():
    roots = thin_roots()
    warped = labels.warp_labels({Scheme.INDIVIDUALS: roots}, identity(roots.shape))
    np.testing.assert_array_equal(warped[Scheme.INDIVIDUALS], roots)


def test_whole_voxel_shift_is_a_shifted_copy():
    roots = thin_roots()
    source = identity(roots.shape) + np.array([2, -1, 3], np.float32)[:, None, None, None]
    warped = labels.warp_threads(roots.astype(np.int32), source)
    expected = np.zeros_like(roots)
    expected[:-2, 1:, :-3] = roots[2:, :-1, 3:]
    np.testing.assert_array_equal(warped, expected)


def test_shares_are_linear_interpolation_of_each_part_alone():
    roots = thin_roots(count=4)
    parts, _ = components(roots.astype(np.int32))
    shift = (0.3, -0.6, 0.25)
    source = identity(roots.shape) + np.array(shift, np.float32)[:, None, None, None]
    voxels, owners, shares = labels.part_shares(parts, source)
    for part in range(1, parts.max() + 1):
        naive = ndimage.shift((parts == part).astype(float), [-s for s in shift], order=1)
        mine = np.zeros(parts.size)
        mine[voxels[owners == part]] = shares[owners == part]
        np.testing.assert_allclose(mine.reshape(parts.shape), naive, atol=1e-6)


def test_neighbour_pairs_match_a_naive_search():
    rng = np.random.default_rng(3)
    shape = (4, 5, 6)
    voxels = np.sort(rng.choice(120, 40, replace=False))
    owners = rng.integers(1, 3, 40)
    order = np.lexsort((voxels, owners))
    voxels, owners = voxels[order], owners[order]
    place = np.stack(np.unravel_index(voxels, shape), axis=1)
    naive = {
        (i, j)
        for i in range(40)
        for j in range(i + 1, 40)
        if owners[i] == owners[j] and np.abs(place[i] - place[j]).max() == 1
    }
    starts, ends = labels.neighbour_pairs(voxels, owners, shape)
    found = [tuple(sorted(pair)) for pair in zip(starts.tolist(), ends.tolist(), strict=True)]
    assert set(found) == naive
    assert len(found) == len(naive)


def test_one_component_stays_one_component_in_99_percent_of_draws(spatial_draws):
    """Of the roots that stay inside the grid. Nearest neighbour fails the same test."""
    whole = {"ours": 0, "nearest": 0}
    total = 0
    for roots, source in spatial_draws:
        ours = labels.warp_labels({Scheme.INDIVIDUALS: roots}, source)[Scheme.INDIVIDUALS]
        nearest = labels.nearest(roots, source)
        for value in np.unique(roots[roots > 0]):
            if pieces(roots == value) != 1 or touches_border(ours == value):
                continue
            total += 1
            whole["ours"] += pieces(ours == value) == 1
            whole["nearest"] += pieces(nearest == value) == 1
    assert total > 150
    assert whole["ours"] >= 0.99 * total
    assert whole["nearest"] < 0.9 * total


def test_labels_after_are_those_before_unless_moved_out(spatial_draws):
    for roots, source in spatial_draws:
        warped = labels.warp_labels({Scheme.INDIVIDUALS: roots}, source)[Scheme.INDIVIDUALS]
        before, after = set(np.unique(roots)), set(np.unique(warped))
        assert after <= before
        for value in before - after:
            reachable = labels.nearest((roots == value).astype(np.uint8), source)
            assert not reachable.any()


def test_volume_follows_the_scaling():
    roots = thin_roots()
    plan = {"scaling": {"factors": [1.1, 0.95, 1.05]}}
    source = transforms.source_coordinates(plan, roots.shape, SPACING_MM)
    warped = labels.warp_labels({Scheme.INDIVIDUALS: roots}, source)[Scheme.INDIVIDUALS]
    expected = 1.1 * 0.95 * 1.05 * (roots > 0).sum()
    assert (warped > 0).sum() == pytest.approx(expected, rel=0.05)


def test_a_single_voxel_is_not_lost():
    roots = np.zeros((9, 9, 9), np.uint8)
    roots[4, 4, 4] = 77
    source = identity(roots.shape) + np.float32(0.5)
    assert (labels.warp_threads(roots.astype(np.int32), source) == 77).any()


def test_entity_levels_and_individuals_tell_the_same_story(spatial_draws):
    roots, source = spatial_draws[1]
    level_only = np.zeros_like(roots)
    level_only[20:23, 2:4, 30:60] = 18
    levels = np.where(roots > 0, individuals_to_levels(roots), level_only)
    maps = {
        Scheme.ENTITY: (levels > 0).astype(np.uint8),
        Scheme.LEVELS: levels,
        Scheme.INDIVIDUALS: roots,
    }
    warped = labels.warp_labels(maps, source)
    named = warped[Scheme.INDIVIDUALS] > 0
    np.testing.assert_array_equal(
        warped[Scheme.LEVELS][named], individuals_to_levels(warped[Scheme.INDIVIDUALS])[named]
    )
    np.testing.assert_array_equal(warped[Scheme.ENTITY] > 0, warped[Scheme.LEVELS] > 0)
    assert (warped[Scheme.LEVELS][~named] == 18).any()


def test_an_unnamed_root_stays_in_one_piece_and_out_of_the_named_ones(spatial_draws):
    for roots, source in spatial_draws[:6]:
        thread = np.zeros_like(roots)
        thread[23:25, 30, 25:65] = 1
        thread[roots > 0] = 0
        entity = ((roots > 0) | (thread > 0)).astype(np.uint8)
        warped = labels.warp_labels({Scheme.ENTITY: entity, Scheme.INDIVIDUALS: roots}, source)
        named = warped[Scheme.INDIVIDUALS]
        unnamed = (warped[Scheme.ENTITY] > 0) & (named == 0)
        assert pieces(unnamed) == pieces(thread) == 1
        assert unnamed.sum() > 0.7 * thread.sum()
        assert ((named > 0) <= (warped[Scheme.ENTITY] > 0)).all()
        alone = labels.warp_labels({Scheme.INDIVIDUALS: roots}, source)[Scheme.INDIVIDUALS]
        assert np.array_equal(named, alone)


def test_an_empty_map_stays_empty():
    empty = np.zeros((5, 6, 7), np.uint8)
    warped = labels.warp_labels({Scheme.LEVELS: empty, Scheme.TISSUES: empty}, identity((5, 6, 7)))
    assert not warped[Scheme.LEVELS].any()
    assert not warped[Scheme.TISSUES].any()
