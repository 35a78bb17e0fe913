"""From class counts to a plan, and the loss weights that follow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spinalroots.augment import balance

LIMITS = {"variants": 40, "per_case": 20, "whole_per_case": 0, "target_ratio": 0.5}


def two_cases() -> tuple[np.ndarray, list[int], np.ndarray]:
    """Each case: the whole (rare class 10 voxels of 110) and a crop with the rare class alone."""
    whole, crop = [10, 100, 100, 100], [10, 0, 5, 0]
    return np.array([whole, crop, whole, crop]), [0, 0, 1, 1], np.array([20, 200, 200, 200])


def test_the_rarest_class_reaches_its_share_of_the_median():
    voxels, cases, start = two_cases()
    plan = balance.plan_variants(voxels, cases, start, **LIMITS)
    totals = start + voxels[[step.candidate for step in plan.steps]].sum(axis=0)
    assert totals.min() >= 0.5 * np.median(totals)
    assert plan.limit == ""
    assert plan.steps[-1].ratio == pytest.approx(totals.min() / np.median(totals))


def test_entropy_rises_with_the_plan():
    voxels, cases, start = two_cases()
    plan = balance.plan_variants(voxels, cases, start, **LIMITS)
    totals = start + voxels[[step.candidate for step in plan.steps]].sum(axis=0)
    assert balance.entropy(totals) > balance.entropy(start)


def test_the_plan_is_a_pure_function():
    voxels, cases, start = two_cases()
    before = voxels.copy(), start.copy()
    plans = [balance.plan_variants(voxels, cases, start, **LIMITS) for _ in range(2)]
    assert plans[0] == plans[1]
    np.testing.assert_array_equal(voxels, before[0])
    np.testing.assert_array_equal(start, before[1])


def test_parents_take_turns():
    voxels, cases, start = two_cases()
    plan = balance.plan_variants(voxels, cases, start, **LIMITS)
    used = np.bincount([cases[step.candidate] for step in plan.steps])
    assert abs(used[0] - used[1]) <= 1


def test_whole_variants_come_first_when_asked_for():
    voxels, cases, start = two_cases()
    plan = balance.plan_variants(voxels, cases, start, **{**LIMITS, "whole_per_case": 2})
    assert [step.candidate for step in plan.steps[:4]] == [0, 2, 0, 2]
    assert {step.purpose for step in plan.steps[:4]} == {"variety"}


@pytest.mark.parametrize(
    ("change", "word"),
    [({"variants": 3}, "augment.variants:"), ({"per_case": 2}, "augment.variants_per_case")],
)
def test_the_limit_that_stopped_the_plan_is_named(change, word):
    voxels, cases, start = two_cases()
    plan = balance.plan_variants(voxels, cases, start, **{**LIMITS, **change})
    assert word in plan.limit
    assert len(plan.steps) <= change.get("variants", 4)


def test_a_class_that_no_crop_can_raise_stops_the_plan():
    voxels = np.array([[1, 100, 100]])
    plan = balance.plan_variants(voxels, [0], np.array([1, 100, 100]), **LIMITS)
    assert "only seen beside the common ones" in plan.limit


def test_no_budget_means_no_steps():
    voxels, cases, start = two_cases()
    assert balance.plan_variants(voxels, cases, start, **{**LIMITS, "variants": 0}).steps == ()


def test_no_annotation_is_a_limit_too():
    plan = balance.plan_variants(np.zeros((0, 4), int), [], np.zeros(4, int), **LIMITS)
    assert plan.steps == ()
    assert "no training case" in plan.limit


def test_crops_cover_their_levels_and_the_margin():
    slices = np.zeros((50, 3), int)
    slices[30:40, 0] = 1
    slices[10:32, 1] = 1
    found = {
        one.levels: (one.first, one.last)
        for one in balance.crop_candidates("sub-1", slices, ("T10", "T11", "T12"), 4)
    }
    assert found == {"all": (0, 49), "T10": (26, 43), "T11": (6, 35), "T10-T11": (6, 43)}


def test_entropy_and_effective_number_of_equal_classes():
    assert balance.entropy(np.full(22, 7)) == pytest.approx(math.log(22))
    assert balance.effective_classes(np.full(22, 7)) == pytest.approx(22)
    assert balance.effective_classes(np.array([5, 0, 0])) == pytest.approx(1)
    assert balance.effective_classes(np.zeros(3, int)) == 0


def test_mean_log_share_is_largest_when_classes_are_equal():
    equal, skewed = np.array([50, 50, 50]), np.array([10, 50, 90])
    assert balance.mean_log_share(equal) == pytest.approx(-math.log(3))
    assert balance.mean_log_share(skewed) < balance.mean_log_share(equal)


def test_class_weights_fall_with_the_root_of_the_voxels():
    weights = balance.class_weights({0: 0, 1: 100, 2: 400, 3: 900})
    assert set(weights) == {1, 2, 3}
    assert weights[1] / weights[2] == pytest.approx(2, rel=1e-3)
    assert weights[1] / weights[3] == pytest.approx(3, rel=1e-3)
    assert np.mean(list(weights.values())) == pytest.approx(1, abs=1e-3)


def test_class_weights_are_bounded():
    weights = balance.class_weights({1: 1, 2: 10_000, 3: 10_000})
    assert weights[1] / weights[2] == pytest.approx(balance.WEIGHT_LIMIT, rel=1e-3)
    assert balance.class_weights({}) == {}
