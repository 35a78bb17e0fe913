"""Connected parts held against a flood by hand, one voxel at a time."""

import numpy as np
import pytest

from spinalroots.imaging.components import components, touching_pairs, without_specks


def by_hand(labels: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Parts by visiting, label by label, each voxel's 26 neighbours."""
    parts, label_of_part = np.zeros(labels.shape, int), []
    for value in np.unique(labels[labels > 0]):
        for start in map(tuple, np.argwhere(labels == value)):
            if parts[start]:
                continue
            label_of_part.append(int(value))
            waiting = [start]
            while waiting:
                place = waiting.pop()
                if parts[place]:
                    continue
                parts[place] = len(label_of_part)
                window = tuple(slice(max(p - 1, 0), p + 2) for p in place)
                corner = [side.start for side in window]
                same = np.argwhere((labels[window] == value) & (parts[window] == 0))
                waiting += [tuple(found + corner) for found in same]
    return parts, label_of_part


@pytest.fixture(params=range(8))
def labels(request):
    rng = np.random.default_rng(request.param)
    shape = tuple(rng.integers(2, 12, 3))
    found = (rng.random(shape) < 0.15) * rng.choice([1, 2, 7, 120], shape)
    return found.astype(np.uint8)


def test_parts_are_numbered_by_label_and_then_by_their_first_voxel(labels):
    expected, expected_labels = by_hand(labels)
    parts, label_of_part = components(labels)
    assert np.array_equal(parts, expected)
    assert label_of_part.tolist() == expected_labels


@pytest.mark.parametrize("order", ["C", "F", "view"])
def test_numbers_do_not_depend_on_how_the_array_lies_in_memory(labels, order):
    other = (
        np.repeat(labels, 2, axis=0)[::2] if order == "view" else np.asarray(labels, order=order)
    )
    assert np.array_equal(components(other)[0], components(labels)[0])


def test_a_mask_and_wide_labels_have_parts_too(labels):
    mask = labels > 0
    assert np.array_equal(components(mask)[0], by_hand(mask.astype(np.uint8))[0])
    assert np.array_equal(components(labels.astype(np.int32) * 1000)[0], by_hand(labels)[0])


def test_nothing_has_no_parts():
    parts, label_of_part = components(np.zeros((3, 4, 5), np.uint8))
    assert not parts.any()
    assert len(label_of_part) == 0


@pytest.mark.parametrize("least_vox", [0, 1, 2, 2.5, 4])
def test_specks_are_the_parts_with_fewer_voxels(labels, least_vox):
    parts, label_of_part = by_hand(labels)
    expected = labels.copy()
    for number in range(1, len(label_of_part) + 1):
        if (parts == number).sum() < least_vox:
            expected[parts == number] = 0
    before = labels.copy()
    assert np.array_equal(without_specks(labels, least_vox), expected)
    assert np.array_equal(labels, before)


@pytest.mark.parametrize("seed", range(4))
def test_touching_pairs_are_those_of_a_naive_search(seed):
    voxels = np.argwhere(np.random.default_rng(seed).random((4, 5, 6)) < 0.4) + np.array(
        [7, 0, 100]
    )
    first, second, steps = touching_pairs(voxels)
    assert np.array_equal(voxels[second] - voxels[first], steps)
    found = [frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    apart = np.abs(voxels[:, None] - voxels[None]).max(axis=2)
    assert set(found) == {frozenset(pair) for pair in np.argwhere(apart == 1).tolist()}
    assert len(found) == len(set(found))
