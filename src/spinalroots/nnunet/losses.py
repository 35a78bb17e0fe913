"""nnU-Net's Dice + cross-entropy, and what may be added: root or not, which root, centre lines."""

import numpy as np
import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import Tensor, nn
from torch.nn import functional

from spinalroots.losses.terms import SMOOTH, entity_loss, identity_loss, skeleton_recall
from spinalroots.losses.truth import tubed_skeleton


def covered_skeletons(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean soft recall of the tubed skeletons of `classes` (B, *spatial), which are found here."""
    skeletons = np.stack([tubed_skeleton(one) for one in classes.cpu().numpy().astype(int)])
    truth = torch.from_numpy(skeletons).to(logits.device)
    truth = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1)[:, 1:].float()
    return skeleton_recall(torch.softmax(logits, dim=1)[:, 1:], truth)


class RootLoss(nn.Module):
    """nnU-Net's Dice + cross-entropy, plus the optional terms; -1 a Dice for a perfect answer.

    :param own: number of classes 1..own that are the target's roots (a last `other roots` is not).
    :param ignored: value of voxels that no term sees, as nnU-Net's `ignore` label; None: all count.
    :param class_weights: (classes,) of the cross-entropy, or None.
    """

    def __init__(
        self,
        own: int,
        *,
        batch_dice: bool,
        ddp: bool,
        ignored: int | None = None,
        class_weights: Tensor | None = None,
        entity_weight: float = 0.0,
        identity_weight: float = 0.0,
        skeleton_weight: float = 0.0,
    ):
        super().__init__()
        self.own, self.ignored = own, ignored
        self.entity_weight, self.identity_weight = entity_weight, identity_weight
        self.skeleton_weight = skeleton_weight
        self.plain = DC_and_CE_loss(
            {"batch_dice": batch_dice, "smooth": SMOOTH, "do_bg": False, "ddp": ddp},
            {} if class_weights is None else {"weight": class_weights},
            ignore_label=ignored,
            dice_class=MemoryEfficientSoftDiceLoss,
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of (B, classes, *spatial) logits against (B, 1, *spatial) classes."""
        loss, classes = self.plain(logits, target), target[:, 0]
        known = None if self.ignored is None else classes != self.ignored
        if self.entity_weight:
            root = (classes >= 1) & (classes <= self.own)
            entity = entity_loss(logits.log_softmax(dim=1), root, self.own, known)
            loss = loss + self.entity_weight * (entity - 1)
        if self.identity_weight:
            loss = loss + self.identity_weight * identity_loss(logits, classes, known)
        if self.skeleton_weight:
            named = classes if known is None else classes * known
            loss = loss - self.skeleton_weight * covered_skeletons(logits, named)
        return loss
