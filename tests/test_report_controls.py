"""The section of controls: pairs of models that differ in one thing."""

from __future__ import annotations

import pandas as pd
import pytest

from spinalroots.files import write_text
from spinalroots.registry.models import MODELS
from spinalroots.report import controls
from spinalroots.report.blocks import Table
from spinalroots.report.inputs import Inputs

WITH, ALONE = "nnunet-sacral-levels", "nnunet-sacral-levels-alone"


def pair(first, second, region, mean_a, mean_b, low, high, metric="binary_dice"):
    return {
        "metric": metric,
        "region": region,
        "model_a": first,
        "model_b": second,
        "n_cases": 3,
        "mean_a": mean_a,
        "mean_b": mean_b,
        "mean_difference": mean_a - mean_b,
        "ci_low": low,
        "ci_high": high,
        "wilcoxon_p": 0.25,
    }


def dice(model, metric, value, region):
    return {"model": model, "case": "sub-1", "metric": metric, "label": region, "value": value}


@pytest.fixture
def section(tmp_path):
    pairs = [
        pair(WITH, ALONE, "sacral", 0.6, 0.4, 0.1, 0.3),
        pair(controls.RAW, controls.AUGMENTED, "all", 0.3, 0.35, -0.08, -0.01),
        pair(controls.RAW, controls.AUGMENTED, "all", 0.2, 0.1, -0.02, 0.2, "level_dice_mean"),
    ]
    cases = [
        dice(WITH, "binary_dice", 0.6, "sacral"),
        dice(WITH, "binary_dice_untrained", 0.01, "sacral"),
        dice(WITH, "binary_dice_empty", 0.0, "sacral"),
        *[dice(name, "binary_dice", 0.4, MODELS[name].region) for name in (ALONE, controls.RAW)],
        dice(controls.AUGMENTED, "binary_dice", 0.35, "all"),
        dice("hardnet-anatomy", "binary_dice", 0.7, "all"),
        dice("hardnet-anatomy", "binary_dice_threshold_seen", 0.5, "all"),
        dice("hardnet-anatomy", "binary_dice_threshold_given", 0.55, "all"),
    ]
    for name, rows in (("comparisons", pairs), ("metrics_cases", cases)):
        write_text(tmp_path / f"reports/{name}.csv", pd.DataFrame(rows).to_csv(index=False))
    return controls.section(Inputs(tmp_path))


def test_the_effect_of_other_roots_is_said_in_words_and_figures(section):
    words, table = section.blocks[:2]
    assert "Shown here: binary Dice +0.200 (sacral)." in words.text
    (row,) = table.rows
    assert row[1:] == (
        *("binary Dice", "3", "0.600", "0.400", "+0.200", "+0.100 … +0.300", "0.250"),
    )


def test_a_pair_given_the_other_way_round_keeps_its_meaning(section):
    row = section.blocks[3].rows[0]
    assert row[2:] == ("3", "0.350", "0.300", "+0.050", "+0.010 … +0.080", "0.250")


def test_what_a_change_costs_is_told_beside_what_it_brings(section):
    words, table = section.blocks[2:4]
    assert (
        "Shown here: binary Dice +0.050 (all). May be chance: Dice per level −0.100" in words.text
    )
    assert [row[1] for row in table.rows] == ["binary Dice", "Dice per level"]
    assert table.rows[1][3:6] == ("0.100", "0.200", "−0.100")


def test_a_trained_network_stands_beside_an_untrained_one_and_an_empty_mask(section):
    table = section.blocks[4]
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[1:] == ("sub-1", "0.600", "0.010", "0.000")


def test_a_network_stands_beside_a_threshold_in_the_sac(section):
    (row,) = section.blocks[5].rows
    assert row[1:] == ("1", "0.700", "0.500", "0.550")


def test_every_region_row_has_its_twin_that_differs_in_other_roots_only():
    for name, model in MODELS.items():
        if model.family == "nnunet" and model.region != "all" and not model.alone:
            twin = MODELS[model.twin]
            aware, alone = model.target(other_roots=True), twin.target(other_roots=True)
            assert aware.other_roots
            assert not alone.other_roots
            assert model.target() == twin.target(), name
