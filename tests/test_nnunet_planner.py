"""Plans: the paper's exactly at paper scale, the small one still nnU-Net's own. Nothing trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nnunet_case import write_inputs

from spinalroots.dataset.layout import Dataset
from spinalroots.files import read_json, write_json
from spinalroots.imaging.volume import Volume, read_image, read_labels, write_volume
from spinalroots.nnunet import environment
from spinalroots.nnunet.planner import plan, summary
from spinalroots.pipeline import params as parameters
from spinalroots.registry.anatomy import Scheme
from spinalroots.stages import prepare_nnunet

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


def test_rows_that_are_compared_get_the_same_plan_whatever_was_augmented(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    # A variant that is a crop: a tenth of a scan, and with half of its slices.
    augmented = Dataset(Path("data/augmented"))
    whole = read_image(augmented.image("sub-01aug01"))
    part = Volume(whole.data[:, :, 2:14:2], whole.affine @ np.diag([1, 1, 2, 1]))
    write_volume(augmented.image("sub-01aug01"), part)
    for scheme in (Scheme.LEVELS, Scheme.INDIVIDUALS):
        labels = read_labels(augmented.labels("sub-01aug01", scheme))
        write_volume(
            augmented.labels("sub-01aug01", scheme),
            Volume(labels.data[:, :, 2:14:2], part.affine),
        )
    params = parameters.load(ROOT / "params.yaml", scale="smoke")
    told = {}
    for row in ("all-individuals", "all-individuals-raw", "all-levels", "thoracic-levels-alone"):
        prepare_nnunet.main(params, row)
        (written,) = Path("data/nnunet", row).glob("preprocessed/*/*Plans.json")
        told[row] = summary(read_json(written), environment.CONFIGURATION)
    assert len(list(Path("data/nnunet/all-individuals").rglob("sub-01aug01.b2nd"))) == 1
    for row, one in told.items():
        assert one == told["all-individuals"], row
