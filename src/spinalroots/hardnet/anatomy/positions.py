"""Where along the spine a slice lies: what the name of a root hangs on.

Three coordinates, each of which may be unknown (nan): the heights above the slices at which the
cord has become thin, and very thin, of which the second is nearer to its tip and the first found
more surely; and the vertebral position (:mod:`spinalroots.registry.vertebrae`), which is known
where a person has set an anchor.
"""

import numpy as np
import torch
from scipy import ndimage

from spinalroots.hardnet.anatomy.classes import CORD

HEIGHTS_MM = np.arange(-210, 151, 15)
CENTRES = tuple(
    torch.from_numpy(values.astype(np.float32))
    for values in (HEIGHTS_MM, HEIGHTS_MM, np.arange(-8, 5.1, 0.5))
)
"""Where the bells lie that each coordinate is told in; each is as wide as their distance."""
UNITS = (100.0, 100.0, 4.0)
"""What a coordinate is divided by for the planes, to be of the order of one."""
CODES, PLANES = sum(map(len, CENTRES)), 2 * len(UNITS)

THIN_MM2 = (25.0, 8.0)
"""Areas of the cord below which it is thin, and very thin. The same rule serves a phantom's true
cord and one that a network draws. Chosen on phantoms: within 4 mm of the truth in physical ones."""

Ends = tuple[int | None, ...]
"""The lowest slice in which the cord is not yet thin, for each area; None where none is in view."""


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
    """Of the largest piece of cord in classes (S, S, Z); None also where it goes on below."""
    pieces, count = ndimage.label(classes == CORD)
    if count == 0:
        return (None,) * len(THIN_MM2)
    cord = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    area_mm2 = cord.sum(axis=(0, 1)) * voxel_mm**2
    lowest = [int((area_mm2 >= least).argmax()) for least in THIN_MM2]
    return tuple(one if one > 1 else None for one in lowest)


def coordinates(
    found: Ends, slices: int, slice_mm: float, places: np.ndarray | None = None
) -> np.ndarray:
    """Coordinates (Z, 3) float32 of each slice; `places` (Z,): vertebral positions, if known."""
    columns = [
        np.full(slices, np.nan) if end is None else (np.arange(slices) - end) * slice_mm
        for end in found
    ]
    columns.append(np.full(slices, np.nan) if places is None else places)
    return np.stack(columns, axis=1).astype(np.float32)
