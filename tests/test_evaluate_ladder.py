"""A planted ladder of degradations: every metric and the simulated score move the right way."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.metrics.measurements import measure
from spinalroots.metrics.root_maps import RootMaps
from spinalroots.registry.anatomy import Region, Root, Target, individuals_to_levels

AFFINE = np.diag([0.5, 0.5, 1.0, 1.0])
CENTRELINE = Centreline(np.array([[10.0, 10.0, 0.0], [10.0, 10.0, 60.0]]), "truth")
TARGET = Target.of("individuals", "all")
LOWER = {
    *("hd95_mm", "level_error_mm", "entry_error_mm", "added_path_mm", "invented_path_mm"),
    "name_changes_per_10cm",
}
# The first depends on the truth alone; the second can shrink as less and less is predicted.
FIXED = {"drawing_path_mm", "invented_path_mm"}


def roots_map():
    """L2–L5, both sides: tubes of 5 voxels that start higher the higher their level is."""
    labels = np.zeros((40, 40, 60), np.uint8)
    for index, level in enumerate(("L2", "L3", "L4", "L5")):
        top = 56 - 8 * index
        for side, x in (("L", 4), ("R", 29)):
            y = 4 + 8 * index
            tube = (slice(x, x + 5), slice(y, y + 5), slice(top - 24, top))
            labels[tube] = Root.parse(f"{level}_D_{side}").value
    return labels


def scores(prediction, options, reference=None):
    """Metric → mean over its labels (infinite where a level is missed)."""
    reference = roots_map() if reference is None else reference

    def maps(labels):
        return RootMaps(
            Volume(individuals_to_levels(labels), AFFINE), Volume(labels, AFFINE)
        ).restricted(TARGET)

    found = measure(maps(reference), maps(prediction), TARGET, Region.ALL, CENTRELINE, options)
    values = {}
    for one in found:
        if not np.isnan(one.value):
            values.setdefault(one.metric, []).append(one.value)
    return {metric: float(np.mean(each)) for metric, each in values.items()}


def eroded(labels, times):
    structure = ndimage.generate_binary_structure(3, 1)
    kept = np.zeros_like(labels)
    for value in np.unique(labels[labels > 0]):
        kept[ndimage.binary_erosion(labels == value, structure, iterations=times)] = value
    return kept


def dropped(labels, names):
    return np.where(np.isin(labels, [Root.parse(name).value for name in names]), 0, labels)


def swapped(labels, first, second):
    one, other = Root.parse(first).value, Root.parse(second).value
    table = np.arange(256, dtype=np.uint8)
    table[[one, other]] = other, one
    return table[labels]


def invented(labels, names):
    """Roots of levels that are not there, in the free voxels below the others."""
    labels = labels.copy()
    for index, name in enumerate(names):
        x = 4 + 8 * index
        labels[x : x + 5, 33:38, 2 + 9 * index : 8 + 9 * index] = Root.parse(name).value
    return labels


def level_moved(labels, level, voxels):
    mask = individuals_to_levels(labels) == individuals_to_levels(
        np.array([Root.parse(f"{level}_D_L").value])
    )
    moved = np.where(mask, 0, labels)
    shifted = np.zeros_like(labels)
    shifted[:, :, : labels.shape[2] - voxels] = np.where(mask, labels, 0)[:, :, voxels:]
    return np.where(shifted > 0, shifted, moved)


BY_NAME = {"level_dice", "level_dice_mean", "root_dice", "root_dice_mean"}
EFFORT = {"added_path_mm", "expert_score_simulated", "expert_score_erasing_free"}
SHAPE = {"binary_dice", "surface_dice", "hd95_mm", "cl_dice"}

LADDERS = {
    # name: (steps from mild to severe, metrics that must get strictly worse from the truth)
    "erode": (
        [lambda m: eroded(m, 1), lambda m: eroded(m, 2)],
        BY_NAME | EFFORT | {"binary_dice", "surface_dice", "hd95_mm", "entry_error_mm"},
    ),
    "drop a root": (
        [
            lambda m: dropped(m, ["L3_D_L"]),
            lambda m: dropped(m, ["L3_D_L", "L3_D_R"]),
            lambda m: dropped(m, ["L3_D_L", "L3_D_R", "L4_D_L", "L5_D_R"]),
        ],
        BY_NAME | EFFORT | SHAPE | {"instance_recall", "instance_f1", "level_error_mm"},
    ),
    "swap neighbours": (
        [
            lambda m: swapped(m, "L3_D_L", "L4_D_L"),
            lambda m: swapped(swapped(m, "L3_D_L", "L4_D_L"), "L3_D_R", "L4_D_R"),
        ],
        BY_NAME
        | EFFORT
        | {"invented_path_mm", "level_error_mm", "entry_error_mm", "level_accuracy"},
    ),
    "swap sides": (
        [
            lambda m: swapped(m, "L3_D_L", "L3_D_R"),
            lambda m: swapped(swapped(m, "L3_D_L", "L3_D_R"), "L4_D_L", "L4_D_R"),
        ],
        {"root_dice", "root_dice_mean", "side_accuracy", "invented_path_mm"} | EFFORT,
    ),
    "invent a root": (
        [
            lambda m: invented(m, ["S1_D_L"]),
            lambda m: invented(m, ["S1_D_L", "S1_D_R"]),
            lambda m: invented(m, ["S1_D_L", "S1_D_R", "S2_D_L"]),
        ],
        BY_NAME
        | SHAPE - {"hd95_mm"}
        | {"instance_precision", "instance_f1", "level_error_mm", "invented_path_mm"},
    ),
    "shift a level": (
        [
            lambda m: level_moved(m, "L3", 2),
            lambda m: level_moved(m, "L3", 5),
            lambda m: level_moved(m, "L3", 9),
        ],
        BY_NAME | EFFORT | SHAPE | {"level_error_mm", "entry_error_mm", "invented_path_mm"},
    ),
}


@pytest.mark.parametrize("ladder", LADDERS)
def test_every_metric_moves_the_right_way(ladder, smoke_params):
    steps, strictly = LADDERS[ladder]
    truth = roots_map()
    rungs = [scores(truth, smoke_params.evaluate)]
    rungs += [scores(step(truth), smoke_params.evaluate) for step in steps]
    for milder, severer in pairwise(rungs):
        for metric in milder.keys() - FIXED:
            worsening = severer[metric] - milder[metric]
            if metric not in LOWER:
                worsening = -worsening
            assert not worsening < -1e-9, f"{metric} improves from {milder} to {severer}"
    for metric in strictly:
        worsening = rungs[-1][metric] - rungs[0][metric]
        assert (worsening if metric in LOWER else -worsening) > 0, metric


def test_every_metric_is_made_worse_by_some_ladder(smoke_params):
    measured = set(scores(roots_map(), smoke_params.evaluate))
    assert measured - set().union(*(strictly for _, strictly in LADDERS.values())) == {
        "drawing_path_mm",
        "name_changes_per_10cm",  # no ladder renames a part of a thread; test_evaluate_metrics does
    }


def test_wiping_out_invented_roots_costs_more_when_it_has_a_price(smoke_params):
    prediction = invented(roots_map(), ["S1_D_L"])
    free = smoke_params.evaluate.model_copy(update={"erasing_weight": 0.0})
    priced = smoke_params.evaluate
    assert (
        scores(prediction, priced)["expert_score_simulated"]
        < scores(prediction, free)["expert_score_simulated"]
    )


def test_a_perfect_prediction_has_the_best_value_everywhere(smoke_params):
    best = scores(roots_map(), smoke_params.evaluate)
    for metric, value in best.items():
        if metric != "drawing_path_mm":
            assert value == (0.0 if metric in LOWER else 1.0), metric


def test_names_do_not_matter_to_shape_and_instances(smoke_params):
    """Names are easily changed by an annotator: metrics without names must not see a swap."""
    swap = scores(swapped(roots_map(), "L3_D_L", "L4_D_L"), smoke_params.evaluate)
    for metric in ("cl_dice", "surface_dice", "instance_f1", "side_accuracy"):
        assert swap[metric] == 1.0, metric


def test_nothing_predicted_is_the_worst_of_all(smoke_params):
    nothing = scores(np.zeros_like(roots_map()), smoke_params.evaluate)
    for metric in ("binary_dice", "cl_dice", "surface_dice", "level_dice_mean", "instance_f1"):
        assert nothing[metric] == 0.0, metric
    assert nothing["expert_score_simulated"] == 0.5
    assert nothing["hd95_mm"] == nothing["level_error_mm"] == np.inf


def test_a_region_model_is_not_charged_for_other_regions(smoke_params):
    target = Target.of("levels", "lumbar")
    truth = roots_map()
    truth[0:3, 0:3, :] = Root.parse("S2_D_L").value
    truth[36:39, 0:3, :] = Root.parse("L3_V_R").value

    def maps(labels):
        whole = RootMaps(Volume(individuals_to_levels(labels), AFFINE), Volume(labels, AFFINE))
        own = whole.individuals.data * np.isin(
            whole.individuals.data, Target.of("individuals", "lumbar").values
        )
        return RootMaps(
            Volume(individuals_to_levels(own), AFFINE), Volume(own.astype(np.uint8), AFFINE)
        )

    found = measure(
        maps(truth), maps(roots_map()), target, Region.LUMBAR, CENTRELINE, smoke_params.evaluate
    )
    dice = {one.label: one.value for one in found if one.metric == "binary_dice"}
    assert dice == {"lumbar": 1.0}
