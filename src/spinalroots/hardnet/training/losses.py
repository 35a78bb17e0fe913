"""What the network is trained to lower: Dice + cross-entropy, and what may be added to it.

Logits are (B, classes, *spatial); classes (B, *spatial) hold 0 background, 1..n roots, and
`UNKNOWN_ROOT` where a root is annotated but not its level: such a voxel says nothing about the
level, but it does say "not background", which only the entity term uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

UNKNOWN_ROOT = 255
"""Class of a voxel that is a root of unknown level."""

SMOOTH = 1e-5
"""Added above and below the fraction of a soft Dice."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; 0 leaves a term out. `classes`: one cross-entropy weight a class."""

    dice: float = 1.0
    cross_entropy: float = 1.0
    entity: float = 0.0
    level: float = 0.0
    skeleton: float = 0.0
    classes: tuple[float, ...] | None = None


def loss_terms(
    logits: torch.Tensor,
    classes: torch.Tensor,
    weights: LossWeights,
    skeleton: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Every term that counts, unweighted, by name; :func:`total` adds them up.

    :param skeleton: (B, *spatial) bool, the roots' thickened centre lines, for Skeleton Recall.
    """
    logits = logits.float()
    known = (classes != UNKNOWN_ROOT).unsqueeze(1)
    logarithms = logits.log_softmax(dim=1)
    truth = torch.zeros_like(logits).scatter_(
        1, torch.where(known, classes.unsqueeze(1), 0).long(), 1.0
    )
    truth = truth * known
    terms = {}
    if weights.cross_entropy:
        scale = None
        if weights.classes is not None:
            scale = torch.tensor(weights.classes, device=logits.device)
        terms["cross_entropy"] = functional.nll_loss(
            logarithms, classes.long(), weight=scale, ignore_index=UNKNOWN_ROOT
        )
    if weights.dice or weights.skeleton:
        probabilities = logarithms.exp() * known
        if weights.dice:
            terms["dice"] = 1 - soft_dice(probabilities[:, 1:], truth[:, 1:]).mean()
        if weights.skeleton and skeleton is not None:
            terms["skeleton"] = 1 - skeleton_recall(
                probabilities[:, 1:], truth[:, 1:] * skeleton.unsqueeze(1)
            )
    if weights.entity:
        terms["entity"] = entity_loss(logarithms, classes > 0)
    if weights.level:
        terms["level"] = level_loss(logits, classes)
    return terms


def total(terms: dict[str, torch.Tensor], weights: LossWeights) -> torch.Tensor:
    """The weighted sum of :func:`loss_terms`."""
    return sum(getattr(weights, name) * value for name, value in terms.items())


def soft_dice(probabilities: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Dice (classes,) of soft masks (B, classes, *spatial), over the whole batch at once."""
    axes = (0, *range(2, truth.ndim))
    both = (probabilities * truth).sum(axes)
    sizes = probabilities.sum(axes) + truth.sum(axes)
    return (2 * both + SMOOTH) / (sizes + SMOOTH)


def entity_loss(logarithms: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    """Dice + cross-entropy of "any root" against background.

    The chance of any root is the sum of its classes' chances, so this term does not care which
    level a root voxel is given. `logarithms`: log-probabilities (B, classes, *spatial).
    """
    any_root = torch.logsumexp(logarithms[:, 1:], dim=1)
    background = logarithms[:, 0]
    cross_entropy = -torch.where(root, any_root, background).mean()
    dice = soft_dice(any_root.exp().unsqueeze(1), root.float().unsqueeze(1)).mean()
    return cross_entropy + 1 - dice


def level_loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the level, given that it is a root: the mean over root voxels only.

    In the plain cross-entropy the few root voxels hardly count beside the background: levels are
    learned long after "root or not". `logits` (B, classes, *spatial); 0 where no root is known.
    """
    known = (classes > 0) & (classes != UNKNOWN_ROOT)
    wanted = torch.where(known, classes.long() - 1, -1)
    total = functional.cross_entropy(logits[:, 1:], wanted, ignore_index=-1, reduction="sum")
    return total / known.sum().clamp(min=1)


def skeleton_recall(probabilities: torch.Tensor, skeleton: torch.Tensor) -> torch.Tensor:
    """Share of the skeleton (B, classes, *spatial) that the soft masks cover, mean over the classes
    that have one (Kirchhoff et al., "Skeleton Recall Loss", arXiv 2404.03010)."""
    axes = (0, *range(2, skeleton.ndim))
    length = skeleton.sum(axes)
    covered = (probabilities * skeleton).sum(axes)
    present = (length > 0).float()
    return ((covered / length.clamp(min=1)) * present).sum() / present.sum().clamp(min=1)
