"""New contrast for the tissues of a sample, each beside the sample's own CSF.

A phantom's labels tell where cord, roots and epidural fat lie; their grey values are shifted to a
newly drawn share of CSF's, the shift smoothed by about a voxel, so that partial volume stays.
"""

from dataclasses import dataclass

import torch

from spinalroots.hardnet.anatomy.classes import (
    CSF_LABEL,
    FAT_LABEL,
    LABELS,
    ROOT_LABEL,
    WHITE_MATTER_LABEL,
)
from spinalroots.hardnet.anatomy.draws import chosen, normal, uniform
from spinalroots.settings.anatomy import Limits

RANGES = {WHITE_MATTER_LABEL: (0.18, 0.85), ROOT_LABEL: (0.15, 0.8), FAT_LABEL: (0.25, 1.15)}
"""Signal over CSF's. Measured on real scans: root 0.36–0.82, cord 0.22–0.79, in any order."""

FEWEST = 4
"""Voxels of the middle slice from which a tissue's grey value is known."""

ROOT_VALUES = 128
"""Label values of roots lie below this."""


@dataclass(frozen=True)
class Colours:
    """`wanted` (B, LABELS): signal over CSF's, nan where a tissue keeps its own. `each`
    (B, ROOT_VALUES): what single roots add to that."""

    wanted: torch.Tensor
    each: torch.Tensor


def draw_colours(limits: Limits, generator: torch.Generator, batch: int) -> Colours:
    """Cord, roots and fat independent of each other."""
    wanted = torch.full((batch, LABELS), torch.nan)
    for label, (low, high) in RANGES.items():
        wanted[:, label] = uniform(generator, low, high, batch)
    spread = uniform(generator, 0, limits.root_spread, batch, 1) * wanted[:, [ROOT_LABEL]]
    each = normal(generator, batch, ROOT_VALUES) * spread
    each[:, 0] = 0
    kept = ~chosen(generator, limits.recolour_share, batch)
    return Colours(wanted.masked_fill(kept[:, None], torch.nan), each * ~kept[:, None])


def recoloured(
    image: torch.Tensor, anatomy: torch.Tensor, roots: torch.Tensor, colours: Colours
) -> torch.Tensor:
    """Images (B, C, S, S) with `colours`; `anatomy` and `roots` as in :class:`.sampling.Samples`.

    Samples whose middle slice shows no CSF stay as they are.
    """
    means = tissue_means(image, anatomy)
    csf = means[:, [CSF_LABEL]]
    shift = (colours.wanted * csf - means).nan_to_num()
    own = shift[:, [ROOT_LABEL]] + (colours.each * csf).nan_to_num()
    # One table a sample: tissues first, then each root; one look-up a voxel.
    table = torch.cat([shift, own], dim=1)
    index = torch.where(anatomy == ROOT_LABEL, roots + LABELS, anatomy)
    change = table.gather(1, index.flatten(1).long()).view_as(image)
    return (image + smoothed(change)).clamp(min=0)


def smoothed(values: torch.Tensor) -> torch.Tensor:
    """Values (..., S, S) weighted 1 : 2 : 1 with their neighbours along both axes; 0 beyond.

    By shifted sums: a convolution of one channel is ten times slower on a CPU.
    """
    for axis in (-1, -2):
        ends = values.shape[axis] - 1
        mean = 0.5 * values
        mean.narrow(axis, 1, ends).add_(values.narrow(axis, 0, ends), alpha=0.25)
        mean.narrow(axis, 0, ends).add_(values.narrow(axis, 1, ends), alpha=0.25)
        values = mean
    return values


def tissue_means(image: torch.Tensor, anatomy: torch.Tensor) -> torch.Tensor:
    """Mean grey value (B, LABELS) of each tissue in the middle slice; nan where it is too small."""
    middle = image.shape[1] // 2
    labels = anatomy[:, middle].flatten(1).long()
    zeros = torch.zeros(len(image), LABELS)
    count = zeros.scatter_add(1, labels, torch.ones_like(labels, dtype=torch.float32))
    total = zeros.scatter_add(1, labels, image[:, middle].flatten(1))
    return torch.where(count >= FEWEST, total / count.clamp(min=1), torch.nan)
