"""The two networks: one that sees the anatomy, and one that names the roots of what was seen.

The second never sees grey values: it is given maps of root and sac, and where along the spine they
lie. So it names the roots of any scanner, and of any other network.
"""

import torch
from torch import nn

from spinalroots.hardnet.anatomy.classes import NAMES
from spinalroots.hardnet.anatomy.naming import LEVEL_CLASSES
from spinalroots.hardnet.anatomy.positions import CODES, PLANES
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.settings.anatomy import Squares

FEATURES, HIDDEN = 24, 64
MAPS = 2
"""Of each slice: root, and how deep in the sac (0 outside, ½ sac, 1 cord)."""


class NamingNetwork(nn.Module):
    """`trunk`: maps (B, C, S, S) → features (B, FEATURES, S, S); called with the features (N,
    FEATURES) of root voxels and the codes (N, CODES) of their slices it gives logits (N,
    LEVEL_CLASSES + 2): levels, ventral, right.

    Another end of the cord, or an anchor, changes what the codes say, and so each hidden unit's
    part in the answer.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.trunk = SegmentationHardnet(config)
        self.seen = nn.Linear(FEATURES, HIDDEN)
        self.place, self.scale = nn.Linear(CODES, HIDDEN), nn.Linear(CODES, HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.names = nn.Linear(HIDDEN, LEVEL_CLASSES + 2)

    def forward(self, features: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        seen = self.seen(features)
        hidden = torch.relu(seen * (1 + self.scale(codes)) + self.place(codes))
        return self.names(torch.relu(self.mix(hidden)))


class AnatomyNetwork(nn.Module):
    """Both: `tissues` (B, C, S, S) → logits (B, classes, S, S), and `names`."""

    def __init__(self, squares: Squares) -> None:
        super().__init__()
        self.tissues = tissue_network(squares)
        self.names = naming_network(squares)


def tissue_network(squares: Squares) -> SegmentationHardnet:
    """An untrained network from slices to tissues."""
    channels = 2 * squares.neighbours + 1
    config = NetworkConfig.of(squares.preset, dim=2, channels=channels, classes=len(NAMES))
    return SegmentationHardnet(config)


def naming_network(squares: Squares) -> NamingNetwork:
    """An untrained network from maps to names."""
    channels = MAPS * (2 * squares.naming_neighbours + 1) + PLANES
    config = NetworkConfig.of(squares.naming_preset, dim=2, channels=channels, classes=FEATURES)
    return NamingNetwork(config)


def maps(root: torch.Tensor, depth: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Input (B, C, S, S) of a naming network.

    :param root: (B, slices, S, S), chance of it.
    :param depth: (B, slices, S, S): 0 outside the sac, ½ in it, 1 in the cord.
    :param places: (B, PLANES), the same all over a sample.
    """
    wide = places[:, :, None, None].expand(-1, -1, *root.shape[2:])
    return torch.cat([root, depth, wide], dim=1)
