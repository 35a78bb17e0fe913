"""Models that are anybody's: a description builds a network of a sensible size, nothing else."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import save_file

from spinalroots.errors import InputError
from spinalroots.inference.stored import FORMAT
from spinalroots.predict.trained import TrainedModel
from spinalroots.registry.anatomy import Target

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [2, 4],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_blocks_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
CONFIGURATION = {
    "architecture": ARCHITECTURE,
    "preprocessor_name": "DefaultPreprocessor",
    "patch_size": [8, 8, 8],
    "spacing": [1.0, 1.0, 1.0],
}
NNUNET = {
    "family": "nnunet",
    "format": FORMAT,
    "name": "it",
    "target": Target.of("levels", "sacral").as_dict(),
    "configuration": "3d_fullres",
    "folds": 1,
    "plans": {"configurations": {"3d_fullres": CONFIGURATION}},
    "dataset_json": {},
}
HARDNET = {
    "family": "hardnet",
    "format": FORMAT,
    "name": "it",
    "target": Target.of("levels", "sacral").as_dict(),
    "input": {"square_mm": 20.0, "voxel_mm": 1.0, "shape": [4, 24, 24]},
    "network": {
        "dim": 2,
        "channels": 4,
        "classes": 5,
        "size": {
            "stem": [8],
            "growth": [6, 10, 12, 16],
            "layers": [2, 4, 4, 4],
            "transitions": [16, 32, 48, 64],
        },
        "strides": [[2, 2]] * 3,
        "stem_stride": [1, 1],
    },
}


def written(folder, record, weights=None) -> TrainedModel:
    """A trained model's folder with this description."""
    (folder / "model.json").write_text(json.dumps(record), encoding="utf-8")
    save_file(weights or {"weight": torch.zeros(3)}, folder / "model.safetensors")
    return TrainedModel(folder, None)


def changed(record: dict, *keys, value) -> dict:
    """A copy with another value at these keys."""
    record = copy.deepcopy(record)
    place = record
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return record


def plans(*keys, value, record=NNUNET) -> dict:
    return changed(record, "plans", "configurations", "3d_fullres", *keys, value=value)


KWARGS = ("architecture", "arch_kwargs")


@pytest.mark.parametrize("part", ["nonlin", "norm_op", "conv_op", "dropout_op"])
def test_a_model_calls_no_function_that_it_names(part, tmp_path):
    """nnU-Net imports what plans name, and calls it with the arguments that they give."""
    record = plans(*KWARGS, part, value="os.mkdir")
    record = plans(*KWARGS, f"{part}_kwargs", value={"path": str(tmp_path / "made")}, record=record)
    with pytest.raises(InputError, match="no part of such a network"):
        written(tmp_path, record).predictor()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["os.mkdir", "builtins.exec", "antigravity", "torch.load", "", 7])
def test_a_model_names_no_other_network(name, tmp_path):
    record = plans("architecture", "network_class_name", value=name)
    with pytest.raises(InputError, match="no part of such a network"):
        written(tmp_path, record).predictor()


def test_nothing_else_of_a_network_is_imported(tmp_path):
    """`_kw_requires_import` may name any argument, such as one that torch would be asked for."""
    required = plans("architecture", "_kw_requires_import", value=["conv_bias"])
    record = plans(*KWARGS, "conv_bias", value="antigravity", record=required)
    with pytest.raises(InputError, match="no part of such a network"):
        written(tmp_path, record).predictor()


@pytest.mark.parametrize(
    "record",
    [
        changed(NNUNET, "folds", value=10**9),
        plans(*KWARGS, "n_stages", value=10**9),
        plans(*KWARGS, "features_per_stage", value=[10**9, 10**9]),
        plans(*KWARGS, "n_blocks_per_stage", value=[10**9, 1]),
        plans("patch_size", value=[10**6] * 3),
        plans("spacing", value=[1e-9] * 3),
        changed(HARDNET, "network", "channels", value=10**9),
        changed(HARDNET, "network", "dim", value=7),
        changed(HARDNET, "network", "size", "layers", value=[10**9] * 4),
        changed(HARDNET, "network", "size", "growth", value=[]),
        changed(HARDNET, "network", "strides", value=[[10**9, 1]] * 3),
        changed(HARDNET, "network", value="large"),
        {"family": "anatomy", "format": FORMAT, "name": "it", "input": {"size_vox": 10**9}},
    ],
    ids=range(13),
)
def test_a_network_of_no_size_is_built(record, tmp_path):
    with pytest.raises(InputError, match="expected a network's description"):
        written(tmp_path, record).predictor()


@pytest.mark.parametrize(
    "record",
    [
        plans(*KWARGS, "features_per_stage", value=[2048, 2048]),
        changed(HARDNET, "network", "size", "growth", value=[8000] * 4),
    ],
    ids=["nnunet", "hardnet"],
)
def test_a_network_takes_no_more_memory_than_its_file_has(record, tmp_path):
    """Two thousand channels are as many weights as fill a machine; the file has three."""
    with pytest.raises(InputError, match=r"weights that model.json describes, found a file of"):
        written(tmp_path, record).predictor()


def test_what_is_refused_above_is_not_refused_for_nothing(tmp_path):
    """The descriptions that the tests change are whole: only the weights do not fit."""
    for record in (NNUNET, HARDNET):
        enough = {"weight": torch.zeros(10**6)}
        with pytest.raises(InputError, match=r"model.json describes, found others"):
            written(tmp_path, record, enough).predictor()
