"""How far above the end of the cord a slice lies: what the level of a root hangs on.

It cannot be seen in a slice, so every slice gets it as an extra channel.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Heights:
    """How heights above the conus are given.

    :param unit_mm: their unit, so that the channel is of the order of one.
    :param limit: they are clipped to ± this many units.
    """

    unit_mm: float = 100.0
    limit: float = 2.0


def heights(conus: float, slices: int, slice_mm: float, rule: Heights) -> np.ndarray:
    """Height (Z,) float32 of each slice above `conus` (in slices, may lie outside)."""
    height = (np.arange(slices) - conus) * slice_mm / rule.unit_mm
    return height.clip(-rule.limit, rule.limit).astype(np.float32)
