"""Where along the spine a slice lies: what the name of a root hangs on.

Two coordinates, each of which may be unknown (nan): the height above the end of the cord, and the
place among the vertebrae (0 at the disc L1/L2, one more for each vertebra upwards, see
:mod:`spinalroots.registry.vertebrae`). The second is known where a person has set an anchor.
"""

import numpy as np
import torch
from scipy import ndimage

HEIGHTS_MM = np.arange(-210.0, 151.0, 15.0, dtype=np.float32)
PLACES = np.arange(-8.0, 5.1, 0.5, dtype=np.float32)
"""Where the bells lie that a coordinate is told in; each is as wide as their distance."""
CODES = len(HEIGHTS_MM) + len(PLACES)

LEAST_CORD_MM2 = 8.0
"""Area of a slice's cord from which it counts: the same rule finds the end of a phantom's true cord
and of the one that a network draws."""


def encoded(heights_mm: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(N, CODES) of coordinates (N,) each: bells around fixed places; 0 where it is unknown."""
    return torch.cat(
        [
            _bells(heights_mm, torch.from_numpy(HEIGHTS_MM)),
            _bells(places, torch.from_numpy(PLACES)),
        ],
        dim=1,
    )


def _bells(values: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    inside = values.clamp(float(centres[0]), float(centres[-1]))
    width = centres[1] - centres[0]
    return torch.exp(-0.5 * ((inside[:, None] - centres) / width) ** 2).nan_to_num()


def cord_end(cord: np.ndarray, voxel_mm: float) -> int | None:
    """Lowest slice of the largest piece of a cord (S, S, Z) bool; None without a cord, or where it
    goes on at the lower end of the scan."""
    pieces, count = ndimage.label(cord)
    if count == 0:
        return None
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    enough = largest.sum(axis=(0, 1)) * voxel_mm**2 >= LEAST_CORD_MM2
    if not enough.any():
        return None
    lowest = int(enough.argmax())
    return lowest if lowest > 1 else None


def heights_mm(end: int | None, slices: int, slice_mm: float) -> np.ndarray:
    """Height (Z,) float32 of each slice above the slice `end`; nan without one."""
    if end is None:
        return np.full(slices, np.nan, np.float32)
    return ((np.arange(slices) - end) * slice_mm).astype(np.float32)
