"""Dice + cross-entropy, and what may be added: root or not, which root, centre lines."""

from __future__ import annotations

import numpy as np
import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from skimage.morphology import dilation, skeletonize
from torch import Tensor, nn
from torch.nn import functional

SMOOTH = 1e-5
"""nnU-Net's own smoothing term of the Dice loss."""


def entity_logit(logits: Tensor, own: int) -> Tensor:
    """Log-odds (B, *spatial) of any of the classes 1..own against all others.

    `sigmoid` of it is the sum of the softmax of those classes.

    :param logits: (B, classes, *spatial).
    """
    roots = torch.logsumexp(logits[:, 1 : own + 1], dim=1)
    rest = torch.cat([logits[:, :1], logits[:, own + 1 :]], dim=1)
    return roots - torch.logsumexp(rest, dim=1)


def entity_loss(logits: Tensor, target: Tensor, own: int) -> Tensor:
    """Soft Dice loss + binary cross-entropy of root against background, whichever root it is.

    :param target: (B, 1, *spatial) classes.
    """
    truth = ((target[:, 0] >= 1) & (target[:, 0] <= own)).float()
    logit = entity_logit(logits, own)
    probability = torch.sigmoid(logit)
    overlap = (probability * truth).sum()
    dice = (2 * overlap + SMOOTH) / (probability.sum() + truth.sum() + SMOOTH)
    return functional.binary_cross_entropy_with_logits(logit, truth) - dice


def identity_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of which root it is, given that it is one: over root voxels and root classes.

    Roots are one voxel in two hundred, so the plain cross-entropy hardly speaks of their names.

    :param target: (B, 1, *spatial) classes.
    """
    where = target[:, 0] > 0
    if not bool(where.any()):
        return logits.sum() * 0.0
    named = logits[:, 1:].movedim(1, -1)[where]
    return functional.cross_entropy(named, target[:, 0][where].long() - 1)


def tubed_skeleton(classes: np.ndarray) -> np.ndarray:
    """The centre lines of all roots (*spatial), two voxels thick all round, with their classes.

    Kirchhoff et al., Skeleton Recall Loss for Connectivity Conserving and Resource Efficient
    Segmentation of Thin Tubular Structures, ECCV 2024.
    """
    roots = classes > 0
    if not roots.any():
        return np.zeros_like(classes)
    tube = np.where(dilation(dilation(skeletonize(roots))), classes, 0)
    for lost in set(np.unique(classes)) - set(np.unique(tube)):
        tube[classes == lost] = lost  # thinning can wipe out a root of even width
    return tube


def skeleton_recall_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the mean soft recall of the tubed skeletons, over the classes that are there.

    :param target: (B, 1, *spatial) classes.
    """
    skeletons = np.stack([tubed_skeleton(one) for one in target[:, 0].cpu().numpy().astype(int)])
    truth = torch.from_numpy(skeletons).to(logits.device)
    truth = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1)[:, 1:].float()
    axes = (0, *range(2, logits.ndim))
    size = truth.sum(axes)
    recall = (torch.softmax(logits, dim=1)[:, 1:] * truth).sum(axes) / size.clamp_min(1)
    return -recall[size > 0].mean() if bool((size > 0).any()) else logits.sum() * 0.0


def balanced_weights(voxels: np.ndarray) -> np.ndarray:
    """Class weights (classes,), mean 1 over the roots, inverse to the root of the voxel counts.

    Background weighs as much as the lightest root class; classes without voxels weigh 1.
    """
    voxels = np.asarray(voxels, float)
    weights = np.ones_like(voxels)
    present = voxels[1:] > 0
    inverse = 1 / np.sqrt(voxels[1:][present])
    weights[1:][present] = inverse / inverse.mean()
    if present.any():
        weights[0] = weights[1:][present].min()
    return weights


class RootLoss(nn.Module):
    """nnU-Net's Dice + cross-entropy, plus the optional terms.

    :param own: number of classes 1..own that are the target's roots (a last `other roots` is not).
    :param class_weights: (classes,) of the cross-entropy, or None.
    """

    def __init__(
        self,
        own: int,
        *,
        batch_dice: bool,
        ddp: bool,
        class_weights: Tensor | None = None,
        entity_weight: float = 0.0,
        identity_weight: float = 0.0,
        skeleton_weight: float = 0.0,
    ):
        super().__init__()
        self.own = own
        self.entity_weight, self.identity_weight = entity_weight, identity_weight
        self.skeleton_weight = skeleton_weight
        self.plain = DC_and_CE_loss(
            {"batch_dice": batch_dice, "smooth": SMOOTH, "do_bg": False, "ddp": ddp},
            {} if class_weights is None else {"weight": class_weights},
            dice_class=MemoryEfficientSoftDiceLoss,
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of (B, classes, *spatial) logits against (B, 1, *spatial) classes."""
        loss = self.plain(logits, target)
        if self.entity_weight:
            loss = loss + self.entity_weight * entity_loss(logits, target, self.own)
        if self.identity_weight:
            loss = loss + self.identity_weight * identity_loss(logits, target)
        if self.skeleton_weight:
            loss = loss + self.skeleton_weight * skeleton_recall_loss(logits, target)
        return loss
