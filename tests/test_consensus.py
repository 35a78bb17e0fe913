"""Several raters: planted disagreements have a known consensus."""

from __future__ import annotations

import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.refine.annotation import STAPLE_MARGIN_VOX, consensus, majority, staple
from spinalroots.registry.anatomy import Scheme


def cube():
    """A block of 6×6×6 in a volume with wide margins."""
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[7:13, 7:13, 7:13] = 1
    return mask


def naive_staple(masks, box):
    """Warfield's expectation-maximization, a loop in plain numpy, on the voxels of `box`."""
    decisions = np.array([mask[box].ravel() for mask in masks], float)
    prior = decisions.mean()
    sensitivity = np.full(len(masks), 0.99999)
    specificity = np.full(len(masks), 0.99999)
    for _ in range(500):
        yes = np.prod(np.where(decisions, sensitivity[:, None], 1 - sensitivity[:, None]), axis=0)
        no = np.prod(np.where(decisions, 1 - specificity[:, None], specificity[:, None]), axis=0)
        weight = prior * yes / (prior * yes + (1 - prior) * no)
        sensitivity = decisions @ weight / weight.sum()
        specificity = (1 - decisions) @ (1 - weight) / (1 - weight).sum()
    return weight.reshape(masks[0][box].shape) > 0.5, sensitivity, specificity


def box_of(masks):
    indices = np.argwhere(np.any(masks, axis=0))
    low, high = indices.min(axis=0) - STAPLE_MARGIN_VOX, indices.max(axis=0) + STAPLE_MARGIN_VOX
    return tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))


def test_staple_keeps_what_careful_raters_share_and_drops_the_careless_ones_additions():
    careful, second, careless = cube(), cube(), cube()
    second[7, 7, 7] = 0
    careless[13:15, 7:13, 7:13] = 1
    agreed, agreement = consensus([careful, second, careless], Scheme.ENTITY)
    assert np.array_equal(agreed, cube())
    assert agreement.specificity[2] < agreement.specificity[0]
    assert agreement.sensitivity[1] == pytest.approx(215 / 216, abs=1e-3)


@pytest.mark.parametrize("raters", [2, 3, 4])
def test_staple_is_warfields_expectation_maximization(raters):
    rng = np.random.default_rng(raters)
    masks = []
    for index in range(raters):
        mask = cube()
        flips = rng.random(mask.shape) < 0.02 * (index + 1)
        near = np.zeros_like(mask, bool)
        near[5:15, 5:15, 5:15] = True
        mask[flips & near] ^= 1
        masks.append(mask)
    agreed, sensitivity, specificity = staple([mask != 0 for mask in masks])
    box = box_of(masks)
    expected, expected_sensitivity, expected_specificity = naive_staple(masks, box)
    assert (agreed[box] != expected).mean() < 2e-3
    assert sensitivity == pytest.approx(expected_sensitivity, abs=5e-3)
    assert specificity == pytest.approx(expected_specificity, abs=5e-3)


def test_two_raters_with_planted_disagreements_agree_on_the_common_part():
    one, two = cube(), cube()
    one[13, 9, 9] = 1
    two[9, 9, 13] = 1
    agreed, agreement = consensus([one, two], Scheme.ENTITY)
    expected, _, _ = naive_staple([one, two], box_of([one, two]))
    assert np.array_equal(agreed[box_of([one, two])] != 0, expected)
    assert (agreed[cube() != 0] == 1).all()
    assert agreement.dice == pytest.approx(2 * 216 / 434)


def test_majority_takes_the_commonest_label_and_leaves_ties_open():
    maps = [np.array(row, np.uint8).reshape(1, 1, 6) for row in
            ([1, 2, 0, 3, 5, 0], [1, 0, 0, 3, 6, 0], [1, 2, 4, 0, 7, 0])]  # fmt: skip
    assert majority(maps).ravel().tolist() == [1, 2, 0, 3, 0, 0]
    assert majority(maps[:2]).ravel().tolist() == [1, 0, 0, 3, 0, 0]
    assert not majority([np.zeros((2, 2, 2), np.uint8)] * 2).any()


def test_agreement_is_the_mean_dice_of_all_pairs_by_label():
    one = np.array([[[1, 1, 2, 0]]], np.uint8)
    two = np.array([[[1, 0, 2, 2]]], np.uint8)
    three = np.array([[[1, 1, 0, 0]]], np.uint8)
    _, agreement = consensus([one, two, three], Scheme.LEVELS)
    assert agreement.dice_by_label[1] == pytest.approx(np.mean([2 / 3, 1, 2 / 3]))
    assert agreement.dice_by_label[2] == pytest.approx(np.mean([2 / 3, 0, 0]))
    assert agreement.dice == pytest.approx(np.mean([2 * 2 / 6, 2 * 2 / 5, 2 * 1 / 5]))


def test_one_rater_is_taken_as_is_and_nobody_disagrees_on_nothing():
    agreed, agreement = consensus([cube()], Scheme.ENTITY)
    assert np.array_equal(agreed, cube())
    assert agreement.raters == 1
    nothing = np.zeros((4, 4, 4), np.uint8)
    agreed, agreement = consensus([nothing, nothing], Scheme.ENTITY)
    assert not agreed.any()
    assert agreement.dice == 1.0


def test_maps_of_different_shape_have_no_consensus():
    with pytest.raises(InputError, match="one shape"):
        consensus([np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8)], Scheme.LEVELS)
