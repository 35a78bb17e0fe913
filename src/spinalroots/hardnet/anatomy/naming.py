"""Which root a voxel belongs to: level, dorsal or ventral, left or right."""

from dataclasses import dataclass

import numpy as np
import torch

from spinalroots.registry.anatomy import LEVELS, REFINED_LEVELS, ROOTS, Side, Type

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

    def to(self, device: str) -> "Names":
        """The same on a device."""
        return Names(*(one.to(device) for one in (self.level, self.ventral, self.right)))


def tables() -> np.ndarray:
    """Level, ventral and right (3, 256) of each value of a map of individuals."""
    found = np.full((3, 256), NO_NAME, np.uint8)
    first = LEVELS.index(REFINED_LEVELS[0]) - 1
    for root in ROOTS:
        level = np.clip(root.level_index - first, ABOVE, BELOW)
        found[:, root.value] = level, root.type is Type.VENTRAL, root.side is Side.RIGHT
    return found


_OF_ROOT = torch.from_numpy(tables())


def names_of(roots: torch.Tensor, mirrored: torch.Tensor) -> Names:
    """Names of individual labels (B, S, S); sides exchanged where `mirrored` (B,) bool."""
    level, ventral, right = _OF_ROOT[:, roots.long()]
    turned = torch.where(right == NO_NAME, right, 1 - right)
    return Names(level, ventral, torch.where(mirrored[:, None, None], turned, right))
