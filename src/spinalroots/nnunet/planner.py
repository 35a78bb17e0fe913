"""nnU-Net's own planning: ResEncM as it is, or the same rules with a small budget.

nnU-Net's planner shrinks the patch until the network's feature maps fit the memory it is told to
plan for. `SmallPlanner` changes only what it plans with: the memory, the width and the depth of the
stages, the proportions of the patch, and the (much faster) torch resampling that nnU-Net ships.
"""

import contextlib
import io
import warnings

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
    residual_encoder_unet_planners as resenc,
)
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

from spinalroots.settings.nnunet import NnunetPlan

SMALL_PLANS = "nnUNetResEncUNetSmallPlans"
HEIGHT_TO_WIDTH = 2.5
"""Proportion of the patches that `in_plane_mm` asks for."""

_STAGES = 14
_RESAMPLING = {"force_separate_z": False, "memefficient_seg_resampling": False}


class SmallPlanner(resenc.nnUNetPlannerResEncM):
    """nnUNetPlannerResEncM for a CPU: less memory, fewer features, fewer blocks."""

    def __init__(self, dataset: str, plan: NnunetPlan, spacing: list[float] | None = None):
        super().__init__(dataset, plan.memory_gb, plans_name=SMALL_PLANS)
        self.overwrite_target_spacing = spacing
        self.in_plane_mm = plan.in_plane_mm
        self.lowres_creation_threshold = 0  # only 3d_fullres is ever trained
        self.UNet_base_num_features = plan.base_features
        self.UNet_max_features_3d = plan.max_features
        self.UNet_max_features_2d = plan.max_features
        self.UNet_blocks_per_stage_encoder = (plan.blocks_per_stage,) * _STAGES
        self.UNet_blocks_per_stage_decoder = (1,) * (_STAGES - 1)

    def generate_data_identifier(self, configuration_name: str) -> str:
        """Own folder of preprocessed data: its resampling is not the default one."""
        return f"{self.plans_identifier}_{configuration_name}"

    def get_plans_for_configuration(self, spacing, median_shape, *others):
        """nnU-Net's plans for images `in_plane_mm` wide and `HEIGHT_TO_WIDTH` times as tall.

        The planner gives a patch the proportions of the median image. The roots keep to the dural
        sac, and their level shows in the height along the spine: a tall patch sees more of it.
        """
        if self.in_plane_mm and len(spacing) == 3:
            longest = int(np.argmax(median_shape * np.asarray(spacing)))
            extent_mm = np.full(3, self.in_plane_mm)
            extent_mm[longest] *= HEIGHT_TO_WIDTH
            median_shape = np.minimum(median_shape, np.round(extent_mm / np.asarray(spacing)))
        return super().get_plans_for_configuration(spacing, median_shape, *others)

    def determine_resampling(self, *args, **kwargs):
        """Linear resampling by torch instead of cubic splines."""
        image = {"is_seg": False, **_RESAMPLING}
        labels = {"is_seg": True, **_RESAMPLING}
        return resample_torch_fornnunet, image, resample_torch_fornnunet, labels

    def determine_segmentation_softmax_export_fn(self, *args, **kwargs):
        """The same for what the network returns."""
        return resample_torch_fornnunet, {"is_seg": False, **_RESAMPLING}

    def plan_experiment(self) -> dict:
        """Plans in which Dice is taken over the whole batch: a small patch shows few classes."""
        plans = super().plan_experiment()
        plans["configurations"]["3d_fullres"]["batch_dice"] = True
        self.save_plans(plans)
        return plans


def plan(dataset: str, parameters: NnunetPlan) -> dict:
    """Plan the data set `dataset`, whose fingerprint lies in nnU-Net's preprocessed folder.

    Writes `<plans name>.json` there and returns the plans. Nothing is trained. The batch, which
    nnU-Net keeps below a share of the data set, counts the scans of the fingerprint, no variants.
    """
    spacing = [float(step) for step in reversed(parameters.spacing_mm or ())] or None
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the planner warns of any memory but its own 8 GB
        planner = resenc.nnUNetPlannerResEncM(dataset, overwrite_target_spacing=spacing)
        if parameters.planner == "small":
            planner = SmallPlanner(dataset, parameters, spacing)
        planner.dataset_json["numTraining"] = len(planner.dataset_fingerprint["spacings"])
        return planner.plan_experiment()


def summary(plans: dict, configuration: str) -> dict:
    """What a reader wants to know of the plans: planner, patch, batch, spacing, network."""
    chosen = plans["configurations"][configuration]
    network = chosen["architecture"]["arch_kwargs"]
    return {
        "planner": plans["experiment_planner_used"],
        "plans": plans["plans_name"],
        "configuration": configuration,
        "patch_size": list(chosen["patch_size"]),
        "batch_size": chosen["batch_size"],
        "spacing_mm": [round(float(step), 4) for step in chosen["spacing"]],
        "network": chosen["architecture"]["network_class_name"].rpartition(".")[2],
        "features_per_stage": list(network["features_per_stage"]),
        "blocks_per_stage": list(network["n_blocks_per_stage"]),
    }
