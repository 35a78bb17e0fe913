"""Tissues: cross-entropy, Dice of each, Dice of the sac as one. Names: cross-entropy on roots."""

import torch
from torch.nn import functional

from spinalroots.hardnet.anatomy.classes import BACKGROUND, ROOT, UNKNOWN
from spinalroots.hardnet.anatomy.naming import LEVEL_CLASSES, NO_NAME, Names
from spinalroots.hardnet.anatomy.network import NamingNetwork

SMOOTH = 1.0
"""Voxels added above and below the fraction of a Dice."""

SAC_WEIGHT = 0.5
"""Of the Dice of CSF, cord and roots as one region: it draws the dura."""

THIN_WEIGHT = 0.5
"""Of the Dice of the roots slice by slice: one with two thin roots weighs as one with thirty."""


def tissue_loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Logits (B, classes, S, S) against classes (B, S, S); `UNKNOWN` voxels say nothing."""
    known = (classes != UNKNOWN).unsqueeze(1)
    logarithms = logits.float().log_softmax(dim=1)
    cross_entropy = functional.nll_loss(logarithms, classes, ignore_index=UNKNOWN)
    chances = logarithms.exp() * known
    index = torch.where(known, classes.unsqueeze(1), BACKGROUND)
    truth = torch.zeros_like(logits).scatter_(1, index, 1.0) * known
    tissues = dice(chances[:, 1:], truth[:, 1:]).mean()
    sac = dice(chances[:, 1:].sum(1, keepdim=True), truth[:, 1:].sum(1, keepdim=True)).mean()
    roots = dice(chances[:, ROOT], truth[:, ROOT], axes=(1, 2)).mean()
    return cross_entropy + (1 - tissues) + SAC_WEIGHT * (1 - sac) + THIN_WEIGHT * (1 - roots)


def naming_loss(
    network: NamingNetwork, maps: torch.Tensor, codes: torch.Tensor, names: Names
) -> torch.Tensor:
    """Of the named voxels of maps (B, C, S, S); others say nothing."""
    features = network.trunk(maps).float()
    sample, row, column = torch.nonzero(names.level != NO_NAME, as_tuple=True)
    if len(sample) == 0:
        return features.sum() * 0
    logits = network(features[sample, :, row, column], codes[sample])
    level, ventral, right = (
        one[sample, row, column] for one in (names.level, names.ventral, names.right)
    )
    binary = functional.binary_cross_entropy_with_logits
    return (
        functional.cross_entropy(logits[:, :LEVEL_CLASSES], level.long())
        + binary(logits[:, -2], ventral.float())
        + binary(logits[:, -1], right.float())
    )


def dice(
    chances: torch.Tensor, truth: torch.Tensor, axes: tuple[int, ...] = (0, 2, 3)
) -> torch.Tensor:
    """Soft Dice, summed over `axes`: by default one a class, over the whole batch."""
    both = (chances * truth).sum(axes)
    return (2 * both + SMOOTH) / (chances.sum(axes) + truth.sum(axes) + SMOOTH)
