"""nnU-Net's loss with our terms: its own without them, and its convention of minus Dice."""

from __future__ import annotations

import pytest
import torch

from spinalroots.nnunet.losses import RootLoss, covered_skeletons


def sure(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits of a network that is certain of `target`."""
    one_hot = torch.nn.functional.one_hot(target[:, 0].long(), classes).movedim(-1, 1)
    return 40.0 * one_hot.float()


def test_the_skeletons_are_covered_by_the_truth_and_missed_by_background():
    target = torch.zeros(1, 1, 12, 12, 12)
    target[:, :, 4:8, 4:8] = 1
    assert covered_skeletons(sure(target, 3), target[:, 0]) == pytest.approx(1, abs=1e-3)
    assert covered_skeletons(sure(target * 0, 3), target[:, 0]) == pytest.approx(0, abs=1e-3)
    assert covered_skeletons(sure(target * 0, 3), target[:, 0] * 0) == 0


def test_every_term_takes_one_more_off_for_a_perfect_answer():
    target = torch.zeros(1, 1, 12, 12, 12)
    target[:, :, 4:8, 4:8] = 2
    plain = RootLoss(2, batch_dice=True, ddp=False)(sure(target, 4), target)
    for weight, least in (("entity_weight", -1), ("identity_weight", 0), ("skeleton_weight", -1)):
        loss = RootLoss(2, batch_dice=True, ddp=False, **{weight: 1.0})(sure(target, 4), target)
        assert float(loss - plain) == pytest.approx(least, abs=1e-3), weight


def test_no_term_has_a_gradient_on_ignored_voxels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 8, 8, 8, generator=generator).requires_grad_()
    target = torch.randint(0, 4, (2, 1, 8, 8, 8), generator=generator).float()
    target[:, :, 3:5] = 4
    options = dict.fromkeys(("entity_weight", "identity_weight", "skeleton_weight"), 1.0)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    loss = RootLoss(3, batch_dice=True, ddp=False, ignored=4, class_weights=weights, **options)
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    assert not (gradient * (target == 4)).any()
    assert ((gradient != 0).any(dim=1, keepdim=True) == (target != 4)).all()


def test_without_options_the_loss_is_nnunets_own():
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    logits = torch.randn(2, 5, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 5, (2, 1, 4, 3, 2), generator=torch.Generator().manual_seed(1))
    own = DC_and_CE_loss(
        {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False},
        {},
        dice_class=MemoryEfficientSoftDiceLoss,
    )
    ours = RootLoss(4, batch_dice=True, ddp=False)
    assert torch.equal(ours(logits, target.float()), own(logits, target.float()))
