"""The network of the plans, alone or as an ensemble of the folds."""

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn


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
    """
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
