"""The network: HarDNet's trunk, of whose last channels four are tissues and the rest features."""

import torch
from torch import nn

from spinalroots.hardnet.anatomy.classes import NAMES
from spinalroots.hardnet.anatomy.naming import FEATURES, NamingHead
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet


class AnatomyNetwork(nn.Module):
    """`trunk`: (B, C, S, S) → (B, tissues + features, S, S); `head` names root voxels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.trunk = SegmentationHardnet(config)
        self.head = NamingHead()


def config(preset: str, neighbours: int) -> NetworkConfig:
    """Of a trunk that sees `neighbours` slices on either side."""
    channels, outputs = 2 * neighbours + 1, len(NAMES) + FEATURES
    return NetworkConfig.of(preset, dim=2, channels=channels, classes=outputs)


def parted(outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tissue logits (B, classes, S, S) and features (B, FEATURES, S, S) of the trunk's outputs."""
    return outputs[:, : len(NAMES)], outputs[:, len(NAMES) :]
