"""What the network is trained to lower: Dice + cross-entropy, and what may be added to it.

Logits are (B, classes, *spatial); classes (B, *spatial) hold 0 background, 1..n roots, and
`UNKNOWN_ROOT` where a root has no name: no term sees such a voxel.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from spinalroots.hardnet.data.stacks import UNKNOWN_ROOT
from spinalroots.losses.terms import entity_loss, identity_loss, skeleton_recall, soft_dice


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
    certain = classes != UNKNOWN_ROOT
    known = certain.unsqueeze(1)
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
        terms["entity"] = entity_loss(logarithms, classes > 0, known=certain)
    if weights.level:
        terms["level"] = identity_loss(logits, classes, certain)
    return terms


def total(terms: dict[str, torch.Tensor], weights: LossWeights) -> torch.Tensor:
    """The weighted sum of :func:`loss_terms`."""
    return sum(getattr(weights, name) * value for name, value in terms.items())
