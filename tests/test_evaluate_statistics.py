"""Statistics against closed forms and exhaustive counting."""

import itertools

import numpy as np
import pandas as pd
import pytest

from spinalroots.metrics import tables
from spinalroots.metrics.statistics import bootstrap_interval, compare, summarise

DRAWS = {"seed": 7, "resamples": 2000}


def test_summary_is_mean_and_sample_sd_without_missing_values():
    summary = summarise(np.array([0.2, np.nan, 0.4, 0.6]), **DRAWS)
    assert (summary.n, summary.mean, summary.sd) == (3, pytest.approx(0.4), pytest.approx(0.2))
    assert 0.2 <= summary.low < 0.4 < summary.high <= 0.6


def test_summary_of_nothing_and_of_one_case():
    assert summarise(np.array([np.nan]), **DRAWS).n == 0
    assert np.isnan(summarise(np.array([]), **DRAWS).mean)
    one = summarise(np.array([0.3]), **DRAWS)
    assert (one.mean, one.sd, one.low, one.high) == (0.3, 0.0, 0.3, 0.3)


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(5.0, 1.0, 400)
    low, high = bootstrap_interval(values, **DRAWS)
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert (low, high) == bootstrap_interval(values, **DRAWS)


def test_wilcoxon_p_is_the_share_of_sign_patterns_at_least_as_extreme():
    first = np.array([0.50, 0.61, 0.72, 0.40, 0.90])
    second = np.array([0.45, 0.50, 0.75, 0.20, 0.60])
    difference = first - second
    ranks = np.argsort(np.argsort(np.abs(difference))) + 1
    seen = abs((np.sign(difference) * ranks).sum())
    patterns = itertools.product((-1, 1), repeat=5)
    extreme = np.mean([abs(np.dot(signs, ranks)) >= seen for signs in patterns])
    result = compare(first, second, **DRAWS)
    assert result.p_value == pytest.approx(extreme)
    assert result.effect_size == pytest.approx((np.sign(difference) * ranks).sum() / ranks.sum())
    assert result.mean_difference == pytest.approx(difference.mean())


def test_three_cases_never_give_a_small_p_value():
    result = compare(np.array([0.9, 0.8, 0.7]), np.array([0.1, 0.2, 0.3]), **DRAWS)
    assert result.p_value == pytest.approx(0.25)
    assert result.effect_size == 1.0


def test_equal_models_differ_by_nothing():
    values = np.array([0.3, 0.5])
    result = compare(values, values, **DRAWS)
    assert (result.mean_difference, result.p_value, result.effect_size) == (0.0, 1.0, 0.0)


def test_pairs_with_a_missing_value_are_left_out():
    result = compare(np.array([0.3, np.nan, 0.5]), np.array([0.2, 0.9, np.nan]), **DRAWS)
    assert result.n == 1
    assert result.mean_difference == pytest.approx(0.1)


def test_looks_are_averaged_apart_and_cases_without_one_left_out():
    rows = [
        ("hardnet-anatomy", case, "phantom", "binary_dice", label, value)
        for case, value in (("a", 0.8), ("b", 0.6), ("c", 0.2), ("d", 0.9))
        for label in ("all", "sacral")
    ]
    cases = pd.DataFrame(rows, columns=list(tables.CASE_COLUMNS))
    looks = {"a": "physical", "b": "physical", "c": "randomised"}
    table = tables.by_look(cases, looks).set_index("look")
    assert table["binary_dice"].to_dict() == pytest.approx({"physical": 0.7, "randomised": 0.2})
    assert table["n_cases"].to_dict() == {"physical": 2, "randomised": 1}
    assert table["level_accuracy"].isna().all()
