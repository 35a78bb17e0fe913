"""Plans: the paper's exactly at paper scale, the small one still nnU-Net's own. Nothing trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinalroots.files import read_json, write_json
from spinalroots.nnunet import environment
from spinalroots.nnunet.planner import plan, summary
from spinalroots.pipeline import params as parameters

ROOT = Path(__file__).resolve().parents[1]
NAME = "Dataset103_all_levels"


@pytest.fixture
def fingerprinted(tmp_path) -> Path:
    """nnU-Net's folders of a data set of 30 scans, without any voxel."""
    cases = {
        f"sub-{index:02d}": {"images": ["i.nii.gz"], "label": "l.nii.gz"} for index in range(30)
    }
    write_json(
        tmp_path / "raw" / NAME / "dataset.json",
        {
            "channel_names": {"0": "T2"},
            "labels": {"background": 0, **{f"L{index}": index for index in range(1, 12)}},
            "numTraining": len(cases),
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "NibabelIO",
            "dataset": cases,
        },
    )
    write_json(
        tmp_path / "preprocessed" / NAME / "dataset_fingerprint.json",
        {
            "spacings": [[1.2, 0.8, 0.9]] * len(cases),
            "shapes_after_crop": [[96, 64, 48]] * len(cases),
            "foreground_intensity_properties_per_channel": {"0": {"mean": 1.0, "std": 1.0}},
            "median_relative_size_after_cropping": 1.0,
        },
    )
    return tmp_path


def test_paper_scale_plans_the_papers_configuration(fingerprinted):
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners as resenc,
    )

    params = parameters.load(ROOT / "params.yaml", scale="paper")
    with environment.folders(fingerprinted, workers=1):
        plans = plan(NAME, params.nnunet.plan)
        untouched = resenc.nnUNetPlannerResEncM(NAME).plan_experiment()
    assert plans == untouched
    assert plans["plans_name"] == "nnUNetResEncUNetMPlans"
    assert plans["experiment_planner_used"] == "nnUNetPlannerResEncM"
    assert environment.CONFIGURATION == "3d_fullres"
    told = summary(plans, environment.CONFIGURATION)
    assert told["network"] == "ResidualEncoderUNet"
    assert told["features_per_stage"][0] == 32
    training = params.nnunet.training
    assert (training.epochs, training.iterations, training.optimizer) == (500, 250, "sgd")
    assert (training.learning_rate, training.entity_weight) == (0.01, 0)
    written = fingerprinted / "preprocessed" / NAME / "nnUNetResEncUNetMPlans.json"
    assert read_json(written)["plans_name"] == "nnUNetResEncUNetMPlans"


def test_small_plans_fit_their_budget_and_grow_with_it(fingerprinted):
    params = parameters.load(ROOT / "params.yaml", scale="smoke").nnunet.plan
    voxels = []
    with environment.folders(fingerprinted, workers=1):
        for memory_gb in (0.02, 0.2):
            plans = plan(NAME, params.model_copy(update={"memory_gb": memory_gb}))
            told = summary(plans, environment.CONFIGURATION)
            voxels.append(told["patch_size"][0] * told["patch_size"][1] * told["patch_size"][2])
            assert told["features_per_stage"][0] == params.base_features
            assert max(told["features_per_stage"]) <= params.max_features
            assert set(told["blocks_per_stage"]) == {params.blocks_per_stage}
    assert voxels[0] < voxels[1]


def test_a_chosen_spacing_is_taken_over(fingerprinted):
    params = parameters.load(ROOT / "params.yaml", scale="smoke").nnunet.plan
    chosen = params.model_copy(update={"spacing_mm": (0.7, 0.8, 1.5)})
    with environment.folders(fingerprinted, workers=1):
        plans = plan(NAME, chosen)
    assert sorted(plans["configurations"]["3d_fullres"]["spacing"]) == [0.7, 0.8, 1.5]
