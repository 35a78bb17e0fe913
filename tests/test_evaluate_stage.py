"""The evaluate stage on a small planted tree: what it writes, refuses and keeps apart."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from spinalroots.dataset.layout import (
    ANATOMY_MAP,
    FOREGROUND,
    NAME_CHANCE,
    UNTRAINED,
    Dataset,
)
from spinalroots.dataset.split import require_unseen
from spinalroots.errors import InputError
from spinalroots.expert import predictions, score_file
from spinalroots.expert.tables import TABLE_COLUMNS
from spinalroots.files import write_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid, Volume, write_probability, write_volume
from spinalroots.metrics.root_maps import read_annotation
from spinalroots.metrics.tables import CASE_COLUMNS, summary
from spinalroots.pipeline import tracking
from spinalroots.quality import appearance
from spinalroots.registry import anatomy, paths
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels
from spinalroots.registry.models import MODELS
from spinalroots.stages import evaluate

AFFINE = np.diag([0.5, 0.5, 1.0, 1.0])
AFFINE[:3, 3] = [-8.0, -8.0, 5.0]
NATIVE = Grid(
    (40, 32, 32), AFFINE @ np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 39], [0, 0, 0, 1.0]])
)
CASES = ("sub-ph008", "sub-ph009")
CHOSEN = ("nnunet-all-levels", "nnunet-sacral-levels")


def truth_map():
    """Dorsal and ventral roots of T12–S2, both sides."""
    labels = np.zeros((32, 32, 40), np.uint8)
    for index, level in enumerate(("T12", "L1", "L5", "S1", "S2")):
        for kind, y in (("D", 2), ("V", 18)):
            for side, x in (("L", 4), ("R", 20)):
                tube = (slice(x, x + 3), slice(y + 3 * index, y + 3 * index + 2), slice(4, 34))
                labels[tube] = Root.parse(f"{level}_{kind}_{side}").value
    return labels


def write_maps(dataset, case, individuals, affine=AFFINE):
    volume = Volume(individuals, affine)
    native = NATIVE if affine is AFFINE else None
    write_volume(dataset.labels(case, Scheme.INDIVIDUALS), volume, native=native)
    levels = volume.with_data(individuals_to_levels(individuals))
    write_volume(dataset.labels(case, Scheme.LEVELS), levels, native=native)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Two test cases: all-levels predicts the first perfectly and loses half of the second."""
    monkeypatch.chdir(tmp_path)
    truth = truth_map()
    dorsal = truth * np.isin(truth, [root.value for root in anatomy.REFINED_ROOTS])
    dorsal = dorsal.astype(np.uint8)
    half = dorsal.copy()
    half[:, :, 19:] = 0
    for case, predicted in zip(CASES, (dorsal, half), strict=True):
        scan = Volume(truth.astype(np.float32), AFFINE)
        write_volume(Dataset(tmp_path / "data/raw/phantom").image(case), scan, native=NATIVE)
        write_maps(Dataset(tmp_path / "data/truth"), case, truth)
        for name in CHOSEN:
            own = MODELS[name].target().levels
            keep = [root.value for root in anatomy.REFINED_ROOTS if root.level in own]
            kept = (predicted * np.isin(predicted, keep)).astype(np.uint8)
            write_maps(Dataset(tmp_path / "data/postprocessed" / name), case, kept)
        curve = Centreline(np.array([[0, 0, 0], [0, 0, 60.0]]), "image")
        curve.write(tmp_path / "data/centreline/raw" / f"{case}.json")
    trained = Dataset(tmp_path / "data/raw/phantom").image("sub-ph001")
    write_volume(trained, Volume(np.zeros((2, 2, 2), np.float32), AFFINE))
    write_json(
        tmp_path / "data/split.json",
        {"train": ["sub-ph001"], "validation": ["sub-ph002"], "test": list(CASES)},
    )
    alike = appearance.measure(Volume(truth.astype(np.float32), AFFINE), curve)
    appearance.write(tmp_path / paths.APPEARANCE, {"sub-ph001": alike})
    return tmp_path


@pytest.fixture
def params(smoke_params):
    return smoke_params.model_copy(update={"workers": 1})


@pytest.fixture
def untracked(monkeypatch):
    """Evaluation without MLflow's store, which takes seconds to set up."""
    monkeypatch.setattr(evaluate, "_track", lambda *arguments: None)


def test_table_one_has_exactly_its_columns_and_measured_values(tree, params, untracked):
    evaluate.main(params)
    table = pd.read_csv(tree / "reports/table_models.csv")
    assert tuple(table.columns) == TABLE_COLUMNS
    assert list(table["model"]) == list(CHOSEN)
    assert list(table["region"]) == ["all", "sacral"]
    assert list(table["n_cases"]) == [2, 2]
    assert set(table["expert_score_source"]) == {"simulated"}
    assert not table.isna().any().any()
    # Half of every tube is missing in the second case: Dice 2·15 ÷ (15 + 30).
    expected = np.array([1.0, 2 * 15 / 45])
    assert table["binary_dice_mean"].to_numpy() == pytest.approx(expected.mean(), abs=1e-6)
    assert table["binary_dice_sd"].to_numpy() == pytest.approx(expected.std(ddof=1), abs=1e-6)
    # Half of the contour has to be drawn: 1 − 0.5·0.5.
    assert table["expert_score_mean"].to_numpy() == pytest.approx(np.mean([1.0, 0.75]))


def test_ventral_roots_of_the_truth_are_nobodys_fault(tree, params, untracked):
    evaluate.main(params)
    cases = pd.read_csv(tree / "reports/metrics_cases.csv")
    perfect = cases[
        (cases["case"] == CASES[0]) & cases["metric"].isin(["binary_dice", "root_dice"])
    ]
    assert (perfect["value"].dropna() == 1.0).all()


def test_a_whole_model_meets_a_region_model_on_the_regions_roots(tree, params, untracked):
    evaluate.main(params)
    pairs = pd.read_csv(tree / "reports/comparisons.csv")
    sacral = pairs[(pairs["metric"] == "binary_dice") & (pairs["region"] == "sacral")]
    assert len(sacral) == 1
    assert sacral.iloc[0]["mean_difference"] == 0
    assert set(pairs["region"]) == {"sacral"}


def test_an_untrained_network_and_an_empty_mask_are_scored_where_they_were_asked(
    tree, params, untracked
):
    predicted = Dataset(tree / "data/predictions" / CHOSEN[0])
    everything = Volume(np.full(truth_map().shape, anatomy.level_value("L5"), np.uint8), AFFINE)
    write_volume(predicted.map(CASES[0], UNTRAINED), everything, native=NATIVE)
    evaluate.main(params)
    cases = pd.read_csv(tree / "reports/metrics_cases.csv")
    found = cases[cases["metric"].isin(["binary_dice_untrained", "binary_dice_empty"])]
    roots = 5 * 2 * 3 * 2 * 30  # levels, sides, and the voxels of a tube
    assert set(found["case"]) == {CASES[0]}
    assert dict(zip(found["metric"], found["value"], strict=True)) == {
        "binary_dice_untrained": pytest.approx(2 * roots / (roots + truth_map().size), abs=1e-6),
        "binary_dice_empty": 0,
    }


def test_chances_of_root_and_of_name_are_held_against_the_truth_apart(tree, params, untracked):
    """The predicted level maps are right but for L1, which is given to ventral roots of T12 too."""
    name = CHOSEN[0]
    post, network = Dataset(paths.POSTPROCESSED / name), Dataset(paths.PREDICTIONS / name)
    for case in CASES:
        truth = truth_map()
        dorsal = truth * np.isin(truth, [root.value for root in anatomy.REFINED_ROOTS])
        ventral = [Root.parse(f"T12_V_{side}").value for side in "LR"]
        predicted = np.where(np.isin(truth, ventral), Root.parse("L1_D_L").value, dorsal)
        write_maps(post, case, predicted.astype(np.uint8))
        chance = Volume(np.where(predicted > 0, 0.8, 0).astype(np.float32), AFFINE)
        for suffix in (FOREGROUND, NAME_CHANCE):
            write_probability(network.map(case, suffix), chance, native=NATIVE)
    evaluate.main(params)
    # Ten dorsal roots and two ventral ones of equal size: ten of twelve are right.
    for path in (paths.CALIBRATION, paths.NAME_CALIBRATION):
        table = pd.read_csv(path).set_index("model").loc[name]
        row = table[table["voxels"] > 0]
        assert row["observed"].to_list() == pytest.approx([10 / 12], abs=1e-6)
        assert row["mean_probability"].to_list() == pytest.approx([0.8], abs=0.5 / 255)
    found = json.loads(paths.METRICS.read_text())[name]
    for metric in ("calibration_error", "name_calibration_error"):
        assert found[metric] == pytest.approx(10 / 12 - 0.8, abs=0.5 / 255)


def test_a_network_that_sees_every_root_is_held_against_every_root(tree, params, untracked):
    """Roots beyond the sac say nothing, ventral ones count as found."""
    name = CHOSEN[0]
    network, truth = Dataset(paths.PREDICTIONS / name), truth_map()
    map_ = np.where(truth > 0, anatomy.ROOT_TISSUE, 0).astype(np.uint8)
    map_[:, :, :10] = np.where(truth[:, :, :10] > 0, anatomy.ROOT_OUTSIDE_TISSUE, 0)
    chance = np.where(truth > 0, 0.9, 0).astype(np.float32)
    chance[:, :, :10] = 0.5
    for case in CASES:
        write_volume(
            Dataset(paths.TRUTH).map(case, ANATOMY_MAP), Volume(map_, AFFINE), native=NATIVE
        )
        write_volume(network.labels(case, Scheme.TISSUES), Volume(map_ % 5, AFFINE), native=NATIVE)
        write_probability(network.map(case, FOREGROUND), Volume(chance, AFFINE), native=NATIVE)
    evaluate.main(params)
    table = pd.read_csv(paths.CALIBRATION).set_index("model").loc[name]
    sure = table[table["bin_low"] > 0.85]
    assert sure["observed"].to_list() == [1.0]
    half = table[(table["bin_low"] == 0.5)]["voxels"].item()
    beyond = (map_ == anatomy.ROOT_OUTSIDE_TISSUE).sum()
    assert half == 2 * (chance[:, :, :10].size - beyond)


def test_metrics_json_is_plain_numbers(tree, params, untracked):
    evaluate.main(params)
    metrics = json.loads((tree / "reports/metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == set(CHOSEN)
    for record in metrics.values():
        assert all(isinstance(value, float) for value in record.values())
        assert record["binary_dice_low"] <= record["binary_dice"] <= record["binary_dice_high"]


def test_every_metric_has_mean_sd_and_interval_over_cases(tree, params, untracked):
    evaluate.main(params)
    cases = pd.read_csv(tree / "reports/metrics_cases.csv")
    table = pd.read_csv(tree / "reports/metrics_summary.csv")
    assert set(table["metric"]) == set(cases["metric"])
    row = table.query(
        "model == 'nnunet-all-levels' and metric == 'level_dice' and label == 'L5'"
    ).iloc[0]
    assert (row["n_cases"], row["missed"]) == (2, 0)
    assert row["mean"] == pytest.approx((1 + 30 / 45) / 2, abs=1e-6)
    assert row["ci_low"] == pytest.approx(30 / 45, abs=1e-6)
    assert row["ci_high"] == pytest.approx(1)
    absent = table.query(
        "model == 'nnunet-all-levels' and metric == 'level_dice' and label == 'L3'"
    ).iloc[0]
    assert absent["n_cases"] == 0
    assert np.isnan(absent["mean"])


def test_missed_levels_are_counted_apart_from_the_mean_distance():
    values = [
        ("m", case, "phantom", "hd95_mm", "all", value)
        for case, value in (("a", 1.0), ("b", 3.0), ("c", np.inf), ("d", np.nan))
    ]
    cases = pd.DataFrame(values, columns=list(CASE_COLUMNS))
    row = summary(cases, seed=1, resamples=50).iloc[0]
    assert (row["n_cases"], row["mean"], row["missed"]) == (2, 2.0, 1)


def test_a_scan_unlike_the_training_scans_is_called_so_for_every_model(tree, params, untracked):
    def unlike():
        evaluate.main(params)
        found = json.loads((tree / "reports/plausibility.json").read_text(encoding="utf-8"))
        return {
            (one["model"], one["case"], one["label"])
            for one in found
            if one["kind"] == "unlike_training"
        }

    assert unlike() == set()
    training = appearance.read(tree / paths.APPEARANCE)
    training["sub-ph001"]["length_mm"] = 300.0
    appearance.write(tree / paths.APPEARANCE, training)
    assert unlike() == {(name, case, "length_mm") for name in CHOSEN for case in CASES}


def test_without_a_record_of_the_training_scans_the_stage_says_what_to_run(tree, params, untracked):
    (tree / paths.APPEARANCE).unlink()
    with pytest.raises(InputError, match="dvc repro appearance"):
        evaluate.main(params)


def test_human_scores_get_rows_of_their_own_and_never_enter_the_simulated_mean(
    tree, params, untracked, capsys
):
    evaluate.main(params)
    before = pd.read_csv(tree / "reports/table_models.csv")
    now = predictions.current_version(paths.POSTPROCESSED, "nnunet-all-levels", CASES[1])
    row = {"model": "nnunet-all-levels", "region": "all", "rater": "AB", "prediction": now}
    scores = tree / "data/expert_scores.csv"
    score_file.append(scores, row | {"case": CASES[1], "score": 0.6})
    score_file.append(scores, row | {"case": CASES[1], "score": 0.8, "rater": "CD"})
    score_file.append(scores, row | {"case": "sub-ph001", "score": 1.0})
    score_file.append(scores, row | {"case": CASES[1], "score": 0.9, "region": "sacral"})
    evaluate.main(params)
    table = pd.read_csv(tree / "reports/table_models.csv")
    human = table[table["expert_score_source"] == "human"]
    pd.testing.assert_frame_equal(
        table[table["expert_score_source"] == "simulated"].reset_index(drop=True), before
    )
    assert list(human["model"]) == ["nnunet-all-levels"]
    assert human.iloc[0]["n_cases"] == 1
    assert human.iloc[0]["expert_score_mean"] == pytest.approx(0.7)
    assert human.iloc[0]["binary_dice_mean"] == pytest.approx(2 * 15 / 45, abs=1e-6)
    assert "sub-ph001" in capsys.readouterr().err  # a training case's score is left out, aloud
    by_region = pd.read_csv(tree / "reports/table_expert_scores.csv")
    sacral = by_region[
        (by_region["expert_score_source"] == "human") & (by_region.region == "sacral")
    ]
    assert list(sacral["mean"]) == [0.9]


@pytest.mark.parametrize("version", ["", "0123456789ab"])
def test_a_score_of_another_or_unknown_version_never_enters_a_mean(
    tree, params, untracked, capsys, version
):
    row = {"model": "nnunet-all-levels", "rater": "AB", "case": CASES[1]}
    scores = tree / "data/expert_scores.csv"
    score_file.append(scores, row | {"score": 0.9, "prediction": version})
    evaluate.main(params)
    assert CASES[1] in capsys.readouterr().err
    for name in ("table_models.csv", "table_expert_scores.csv"):
        table = pd.read_csv(tree / "reports" / name)
        assert set(table["expert_score_source"]) == {"simulated"}
    now = predictions.current_version(paths.POSTPROCESSED, "nnunet-all-levels", CASES[1])
    score_file.append(scores, row | {"score": 0.6, "prediction": now})
    evaluate.main(params)
    table = pd.read_csv(tree / "reports/table_models.csv")
    human = table[table["expert_score_source"] == "human"]
    assert list(human["expert_score_mean"]) == [0.6]


def test_a_score_of_an_unknown_case_ends_the_stage_with_its_line(tree, params):
    path = tree / "data/expert_scores.csv"
    row = {"model": "nnunet-all-levels", "rater": "AB", "score": 0.9}
    score_file.append(path, row | {"case": "sub-ph0O8"})
    with pytest.raises(InputError, match="line 2: case"):
        evaluate.main(params)


def test_human_scores_reach_mlflow_under_their_own_name(tree, params):
    import mlflow

    now = predictions.current_version(paths.POSTPROCESSED, "nnunet-all-levels", CASES[0])
    row = {"model": "nnunet-all-levels", "rater": "AB", "case": CASES[0], "prediction": now}
    score_file.append(tree / "data/expert_scores.csv", row | {"score": 0.7})
    evaluate.main(params)
    mlflow.set_tracking_uri(tracking.tracking_uri())
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    metrics = {run.data.tags["model"]: run.data.metrics for run in runs}
    assert metrics["nnunet-all-levels"]["expert_score_human_all"] == 0.7
    assert metrics["nnunet-all-levels"]["expert_score_simulated_all"] == pytest.approx(0.875)
    assert "expert_score_human_sacral" not in metrics["nnunet-sacral-levels"]


def test_same_inputs_give_the_same_bytes_whatever_the_workers(tree, params, untracked):
    names = ("table_models.csv", "metrics_cases.csv", "comparisons.csv", "metrics.json")
    evaluate.main(params)
    first = [(tree / "reports" / name).read_bytes() for name in names]
    # joblib keeps its processes, and they keep the folder that they were started in
    get_reusable_executor().shutdown(wait=True)
    evaluate.main(params.model_copy(update={"workers": 2}))
    get_reusable_executor().shutdown(wait=True)
    assert first == [(tree / "reports" / name).read_bytes() for name in names]


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("name", [CASES[0], f"{CASES[0]}aug03"])
def test_a_case_that_was_trained_on_is_refused(tree, params, part, name):
    write_json(
        tree / "data/split.json",
        {"train": [], "validation": [], "test": list(CASES)} | {part: [name]},
    )
    with pytest.raises(InputError, match=CASES[0]):
        evaluate.main(params)
    assert not (tree / "reports").exists()


def test_a_mask_on_another_grid_is_refused(tree, params):
    other = AFFINE.copy()
    other[2, 3] += 1
    folder = Dataset(tree / "data/postprocessed" / CHOSEN[0])
    write_maps(folder, CASES[0], truth_map(), other)
    with pytest.raises(InputError, match="grid"):
        evaluate.main(params)


def test_a_missing_prediction_is_refused_by_name(tree, params):
    folder = Dataset(tree / "data/postprocessed" / CHOSEN[0])
    for scheme in (Scheme.LEVELS, Scheme.INDIVIDUALS):
        folder.labels(CASES[1], scheme).unlink()
    with pytest.raises(InputError, match=CASES[1]):
        evaluate.main(params)


def test_one_mlflow_run_per_model_with_the_per_case_table(tree, params):
    import mlflow

    evaluate.main(params)
    mlflow.set_tracking_uri(tracking.tracking_uri())
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    tags = {run.data.tags["model"]: run.data.tags for run in runs}
    assert set(tags) == set(CHOSEN)
    assert tags["nnunet-sacral-levels"]["region"] == "sacral"
    assert tags["nnunet-sacral-levels"]["kind"] == "evaluation"
    expected = pd.read_csv(tree / "reports/table_models.csv").set_index("model")
    for run in runs:
        name = run.data.tags["model"]
        assert run.data.metrics["binary_dice"] == pytest.approx(
            expected.loc[name, "binary_dice_mean"], abs=1e-6
        )
        assert run.data.metrics[f"expert_score_simulated_{run.data.tags['region']}"] > 0.5
        logged = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/metrics_cases.json")
        assert {row[logged["columns"].index("case")] for row in logged["data"]} == set(CASES)


def test_a_real_case_is_held_against_its_refined_annotation(tmp_path):
    refined, whole = Dataset(tmp_path), Volume(truth_map(), AFFINE)
    part = whole.crop((slice(2, 30), slice(1, 32), slice(3, 36)))
    write_maps(refined, "sub-001", part.data, part.affine)
    target = MODELS["nnunet-all-levels"].target()
    maps = read_annotation(refined, "sub-001", target, whole.grid)
    expected = np.where(
        np.isin(whole.data, MODELS["nnunet-all-individuals"].target().values), whole.data, 0
    )
    assert np.array_equal(maps.individuals.data, expected)


def test_what_is_found_on_a_root_without_a_name_does_not_count_on_a_real_case(tmp_path):
    refined, whole = Dataset(tmp_path), Volume(truth_map(), AFFINE)
    ventral = np.isin(whole.data, [root.value for root in anatomy.ROOTS if root.type == "V"])
    box = (slice(2, 30), slice(1, 32), slice(3, 36))
    part, dorsal = whole.crop(box), whole.with_data(np.where(ventral, 0, whole.data)).crop(box)
    write_maps(refined, "sub-001", dorsal.data, dorsal.affine)
    roots = part.with_data((part.data > 0).astype(np.uint8))
    write_volume(refined.labels("sub-001", anatomy.Scheme.ENTITY), roots)
    target = MODELS["nnunet-all-levels"].target()
    reference = read_annotation(refined, "sub-001", target, whole.grid)
    found = whole.with_data(np.full_like(whole.data, 23))
    counted = reference.counted(found).data
    assert not counted[ventral].any()
    assert (counted[~ventral] == 23).all()


def test_unseen_cases_pass():
    split = SimpleNamespace(train=["sub-1"], validation=["sub-2"])
    require_unseen(["sub-3", "sub-11"], vars(split))
