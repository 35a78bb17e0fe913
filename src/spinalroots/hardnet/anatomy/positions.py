"""Where along the spine a slice lies: what the name of a root hangs on.

Three coordinates, each of which may be unknown (nan): the height above the end of the cord, the
height above the end of the sac, and the vertebral position
(:mod:`spinalroots.registry.vertebrae`), which is known where a person has set an anchor.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from spinalroots.hardnet.anatomy.classes import CORD, CSF, ROOT

CENTRES = tuple(
    torch.from_numpy(values.astype(np.float32))
    for values in (np.arange(-210, 151, 15), np.arange(-30, 331, 15), np.arange(-8, 5.1, 0.5))
)
"""Where the bells lie that each coordinate is told in; each is as wide as their distance."""
UNITS = (100.0, 100.0, 4.0)
"""What a coordinate is divided by for the planes, to be of the order of one."""
CODES, PLANES = sum(map(len, CENTRES)), 2 * len(UNITS)

LEAST_CORD_MM2, LEAST_SAC_MM2 = 25.0, 25.0
"""Area of a slice's cord, and sac, from which it counts: the same rule finds the ends in a
phantom's true anatomy and in what a network draws, where the last thin millimetres differ."""


@dataclass(frozen=True)
class Ends:
    """Slices at which cord and sac end, going down; None where that is not in view."""

    cord: int | None
    sac: int | None


def encoded(coordinates: torch.Tensor) -> torch.Tensor:
    """(N, CODES) of coordinates (N, 3): bells around fixed places; 0 where one is unknown."""
    codes = []
    for values, centres in zip(coordinates.unbind(1), CENTRES, strict=True):
        inside = values.clamp(float(centres[0]), float(centres[-1]))[:, None]
        codes.append(torch.exp(-0.5 * ((inside - centres) / (centres[1] - centres[0])) ** 2))
    return torch.cat(codes, dim=1).nan_to_num()


def planes(coordinates: torch.Tensor) -> torch.Tensor:
    """(N, PLANES) of coordinates (N, 3): each in its unit, then whether it is known."""
    known = (~coordinates.isnan()).float()
    return torch.cat([coordinates.nan_to_num() / torch.tensor(UNITS), known], dim=1)


def ends(classes: np.ndarray, voxel_mm: float) -> Ends:
    """Of classes (S, S, Z): the largest piece of cord, and the sac around it."""
    pieces, count = ndimage.label(classes == CORD)
    cord = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1 if count else pieces > 0
    sac = np.isin(classes, (CSF, CORD, ROOT))
    return Ends(_end(cord, voxel_mm, LEAST_CORD_MM2), _end(sac, voxel_mm, LEAST_SAC_MM2))


def _end(tissue: np.ndarray, voxel_mm: float, least_mm2: float) -> int | None:
    """Lowest slice with enough of a tissue; None without, or where it goes on below the scan."""
    enough = tissue.sum(axis=(0, 1)) * voxel_mm**2 >= least_mm2
    lowest = int(enough.argmax())
    return lowest if enough.any() and lowest > 1 else None


def coordinates(
    found: Ends, slices: int, slice_mm: float, places: np.ndarray | None = None
) -> np.ndarray:
    """Coordinates (Z, 3) float32 of each slice; `places` (Z,): vertebral positions, if known."""
    columns = [
        np.full(slices, np.nan) if end is None else (np.arange(slices) - end) * slice_mm
        for end in (found.cord, found.sac)
    ]
    columns.append(np.full(slices, np.nan) if places is None else places)
    return np.stack(columns, axis=1).astype(np.float32)
