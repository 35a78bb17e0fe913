"""Which root a voxel of root belongs to: level, dorsal or ventral, left or right.

The network's trunk says for each voxel what it has seen around it; a small network then adds where
along the spine the slice lies. Two steps, so that an anchor, or another end of the cord, changes
names without running the trunk again.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from spinalroots.hardnet.anatomy.positions import CODES
from spinalroots.registry.anatomy import LEVELS, REFINED_LEVELS, Root, Side, Type

FEATURES = 24
"""Channels of the trunk that names are read from."""
HIDDEN = 64
ABOVE, BELOW = 0, len(REFINED_LEVELS) + 1
"""Level classes beside those of the refined levels, 1 to 11: a root further up, or further down."""
LEVEL_CLASSES = BELOW + 1
NO_NAME = 255
"""Of a voxel whose level, type or side is not known, or that is no root."""


@dataclass(frozen=True)
class Names:
    """`level` (…) of LEVEL_CLASSES, `ventral` and `right` (…) 0 or 1; NO_NAME where unknown."""

    level: torch.Tensor
    ventral: torch.Tensor
    right: torch.Tensor


def _tables() -> np.ndarray:
    tables = np.full((3, 256), NO_NAME, np.uint8)
    first, last = LEVELS.index(REFINED_LEVELS[0]), LEVELS.index(REFINED_LEVELS[-1])
    for value in range(1, 4 * len(LEVELS) + 1):
        root = Root.from_value(value)
        index = root.level_index
        tables[0, value] = ABOVE if index < first else BELOW if index > last else index - first + 1
        tables[1, value] = root.type is Type.VENTRAL
        tables[2, value] = root.side is Side.RIGHT
    return tables


_OF_ROOT = torch.from_numpy(_tables())


def names_of(roots: torch.Tensor, mirrored: torch.Tensor) -> Names:
    """Names of individual labels (B, S, S); sides exchanged where `mirrored` (B,) bool."""
    level, ventral, right = _OF_ROOT[:, roots.long()]
    turned = torch.where(right == NO_NAME, right, 1 - right)
    return Names(level, ventral, torch.where(mirrored[:, None, None], turned, right))


class NamingHead(nn.Module):
    """(N, FEATURES) of root voxels and (N, CODES) of their slices → logits (N, LEVEL_CLASSES + 2):
    levels, then ventral, then right."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Linear(FEATURES, HIDDEN)
        self.place = nn.Linear(CODES, HIDDEN)
        self.scale = nn.Linear(CODES, HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.names = nn.Linear(HIDDEN, LEVEL_CLASSES + 2)

    def forward(self, features: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        seen = self.seen(features)
        hidden = torch.relu(seen * (1 + self.scale(codes)) + self.place(codes))
        return self.names(torch.relu(self.mix(hidden)))
