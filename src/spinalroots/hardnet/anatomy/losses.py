"""Tissues: cross-entropy, Dice of each, Dice of the sac as one. Names: cross-entropy on roots."""

import torch
from torch.nn import functional

from spinalroots.hardnet.anatomy.classes import BACKGROUND, UNKNOWN
from spinalroots.hardnet.anatomy.naming import LEVEL_CLASSES, NO_NAME, Names, NamingHead

SMOOTH = 1.0
"""Voxels added above and below the fraction of a Dice."""

SAC_WEIGHT = 0.5
"""Of the Dice of CSF, cord and roots as one region: it draws the dura."""


def anatomy_loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Logits (B, classes, S, S) against classes (B, S, S); `UNKNOWN` voxels say nothing."""
    known = (classes != UNKNOWN).unsqueeze(1)
    logarithms = logits.float().log_softmax(dim=1)
    cross_entropy = functional.nll_loss(logarithms, classes, ignore_index=UNKNOWN)
    chances = logarithms.exp() * known
    index = torch.where(known, classes.unsqueeze(1), BACKGROUND)
    truth = torch.zeros_like(logits).scatter_(1, index, 1.0) * known
    tissues = dice(chances[:, 1:], truth[:, 1:]).mean()
    sac = dice(chances[:, 1:].sum(dim=1, keepdim=True), truth[:, 1:].sum(dim=1, keepdim=True))
    return cross_entropy + (1 - tissues) + SAC_WEIGHT * (1 - sac.mean())


def naming_loss(
    head: NamingHead, features: torch.Tensor, names: Names, codes: torch.Tensor
) -> torch.Tensor:
    """Features (B, FEATURES, S, S) of root voxels against their names; others say nothing."""
    sample, row, column = torch.nonzero(names.level != NO_NAME, as_tuple=True)
    if len(sample) == 0:
        return features.sum() * 0
    logits = head(features[sample, :, row, column].float(), codes[sample])
    level, ventral, right = (
        one[sample, row, column] for one in (names.level, names.ventral, names.right)
    )
    levels = functional.cross_entropy(logits[:, :LEVEL_CLASSES], level.long())
    binary = functional.binary_cross_entropy_with_logits
    return levels + binary(logits[:, -2], ventral.float()) + binary(logits[:, -1], right.float())


def dice(chances: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Soft Dice (classes,) over the whole batch."""
    axes = (0, 2, 3)
    both = (chances * truth).sum(axes)
    return (2 * both + SMOOTH) / (chances.sum(axes) + truth.sum(axes) + SMOOTH)
