"""The network of the plans, alone or as an ensemble of the folds.

nnU-Net imports whatever its plans name and calls it with what they say. Plans come with a model
that may be anybody's, so only names that build a network are let through, and sizes that a network
has.
"""

import math
from collections.abc import Collection
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

_UNETS = "dynamic_network_architectures.architectures"
NETWORKS = frozenset(
    f"{_UNETS}.{module}.{name}"
    for module, name in (
        ("unet", "PlainConvUNet"),
        ("unet", "ResidualEncoderUNet"),
        ("residual_unet", "ResidualEncoderUNet"),
    )
)
LAYERS = frozenset(
    [
        *(f"torch.nn.modules.conv.Conv{dim}d" for dim in (2, 3)),
        *(f"torch.nn.modules.instancenorm.InstanceNorm{dim}d" for dim in (2, 3)),
        *(f"torch.nn.modules.dropout.Dropout{dim}d" for dim in (2, 3)),
        *("torch.nn.LeakyReLU", "torch.nn.modules.activation.LeakyReLU"),
    ]
)
"""What plans may name."""
MOST_STAGES, MOST_BLOCKS, MOST_FEATURES, MOST_FOLDS = 12, 16, 2048, 10
MOST_PATCH_VOX = 2**25
SPACING_MM = (0.05, 50.0)


class Ensemble(nn.Module):
    """Mean of the logits of several networks, as nnU-Net combines its folds."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, *spatial) → logits (B, classes, *spatial)."""
        total = self.networks[0](x)
        for network in self.networks[1:]:
            total = total + network(x)
        return total / len(self.networks)


def build_network(plans: dict, configuration: str, classes: int, folds: int = 1) -> nn.Module:
    """The untrained network for one input channel: without deep supervision, one output.

    With several folds, an :class:`Ensemble` of so many.

    :raises ValueError: plans that name or want what no network of nnU-Net's is.
    """
    require_network(plans, configuration, folds)
    chosen = PlansManager(plans).get_configuration(configuration)
    networks = [
        get_network_from_plans(
            chosen.network_arch_class_name,
            chosen.network_arch_init_kwargs,
            chosen.network_arch_init_kwargs_req_import,
            1,
            classes,
            allow_init=True,
            deep_supervision=False,
        )
        for _ in range(folds)
    ]
    return networks[0] if folds == 1 else Ensemble(networks)


def require_network(plans: dict, configuration: str, folds: int) -> None:
    """ValueError unless plans describe a U-Net of nnU-Net's, of a size that one has."""
    chosen = PlansManager(plans).get_configuration(configuration)
    architecture = chosen.configuration["architecture"]
    kwargs = architecture["arch_kwargs"]
    _known(architecture["network_class_name"], NETWORKS)
    for name in architecture["_kw_requires_import"]:
        if kwargs[name] is not None:
            _known(kwargs[name], LAYERS)
    _known(chosen.preprocessor_name, {"DefaultPreprocessor"})
    _within("folds", [folds], 1, MOST_FOLDS)
    _within("stages", [kwargs["n_stages"]], 1, MOST_STAGES)
    _within("features", kwargs["features_per_stage"], 1, MOST_FEATURES)
    for blocks in ("n_blocks_per_stage", "n_conv_per_stage", "n_conv_per_stage_decoder"):
        _within(blocks, kwargs.get(blocks, ()), 1, MOST_BLOCKS)
    for steps in (*kwargs["kernel_sizes"], *kwargs["strides"]):
        _within("kernels and strides", steps, 1, MOST_BLOCKS)
    _within("patch", chosen.patch_size, 1, MOST_PATCH_VOX)
    _within("patch", [math.prod(chosen.patch_size)], 1, MOST_PATCH_VOX)
    _within("spacing", chosen.spacing, *SPACING_MM)


def _known(name: Any, allowed: Collection[str]) -> None:
    if name not in allowed:
        raise ValueError(f"the plans name {name!r}, which is no part of such a network")


def _within(what: str, values: object, least: float, most: float) -> None:
    """Of a number, or of a list of them."""
    numbers = values if isinstance(values, list | tuple) else [values]
    if not all(isinstance(one, int | float) and least <= one <= most for one in numbers):
        raise ValueError(f"{what} of {str(values)[:60]}, not from {least:g} to {most:g}")
