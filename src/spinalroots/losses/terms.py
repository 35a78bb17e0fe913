"""Soft Dice, root or not, which root, and covered centre lines: torch, differentiable, no files.

Logits and log-probabilities are (B, classes, *spatial): 0 background, 1..own the roots that count,
and perhaps a last class of `other roots`. Classes are (B, *spatial).
"""

import torch
from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-5
"""Added above and below the fraction of a soft Dice."""


def soft_dice(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Dice (classes,) of soft masks (B, classes, *spatial), over the whole batch at once.

    A class that neither side has scores 1.
    """
    axes = (0, *range(2, truth.ndim))
    both = (probabilities * truth).sum(axes)
    sizes = probabilities.sum(axes) + truth.sum(axes)
    return (2 * both + SMOOTH) / (sizes + SMOOTH)


def entity_logarithms(logarithms: Tensor, own: int | None = None) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B, *spatial) of "one of the roots 1..own" and of "anything else".

    :param logarithms: log-probabilities of all classes.
    :param own: number of roots that count; None: every class but the background.
    """
    last = logarithms.shape[1] if own is None else own + 1
    root = torch.logsumexp(logarithms[:, 1:last], dim=1)
    if last == logarithms.shape[1]:
        return root, logarithms[:, 0]
    rest = torch.cat([logarithms[:, :1], logarithms[:, last:]], dim=1)
    return root, torch.logsumexp(rest, dim=1)


def entity_loss(
    logarithms: Tensor, root: Tensor, own: int | None = None, known: Tensor | None = None
) -> Tensor:
    """Cross-entropy + soft Dice loss of "any root" against the rest; 0 for a perfect answer.

    The chance of any root is the sum of its classes' chances, so that this term does not care
    which root a voxel is given.

    :param logarithms, own: see :func:`entity_logarithms`.
    :param root: (B, *spatial) bool, truth.
    :param known: (B, *spatial) bool, the voxels whose truth is known; None: all of them.
    """
    any_root, rest = entity_logarithms(logarithms, own)
    known = torch.ones_like(root) if known is None else known
    cost = torch.where(root, any_root, rest) * known
    cross_entropy = -cost.sum() / known.sum().clamp(min=1)
    chance, truth = any_root.exp() * known, (root & known).to(any_root.dtype)
    return cross_entropy + 1 - soft_dice(chance.unsqueeze(1), truth.unsqueeze(1)).mean()


def identity_loss(logits: Tensor, classes: Tensor, known: Tensor | None = None) -> Tensor:
    """Cross-entropy of which root it is, given that it is one: the mean over root voxels only.

    Roots are one voxel in two hundred, so that the plain cross-entropy hardly speaks of their
    names: they are learned long after "root or not". 0 where no root is known.

    :param known: (B, *spatial) bool, the root voxels whose name counts; None: all of them.
    """
    known = classes > 0 if known is None else known & (classes > 0)
    wanted = torch.where(known, classes.long() - 1, -1)
    total = functional.cross_entropy(logits[:, 1:], wanted, ignore_index=-1, reduction="sum")
    return total / known.sum().clamp(min=1)


def skeleton_recall(probabilities: Tensor, skeleton: Tensor) -> Tensor:
    """Share of the skeletons (B, classes, *spatial) that soft masks cover, mean over the classes
    that have one; 0 without any (Kirchhoff et al., "Skeleton Recall Loss", arXiv 2404.03010)."""
    axes = (0, *range(2, skeleton.ndim))
    length = skeleton.sum(axes)
    covered = (probabilities * skeleton).sum(axes)
    present = (length > 0).to(probabilities.dtype)
    return ((covered / length.clamp(min=1)) * present).sum() / present.sum().clamp(min=1)
