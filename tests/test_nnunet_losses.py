"""The terms of the loss against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinalroots.nnunet.losses import (
    RootLoss,
    balanced_weights,
    entity_logit,
    entity_loss,
    skeleton_recall_loss,
    tubed_skeleton,
)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(
        2, 5, 4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def sure(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits of a network that is certain of `target`."""
    one_hot = torch.nn.functional.one_hot(target[:, 0].long(), classes).movedim(-1, 1)
    return 40.0 * one_hot.float()


def test_entity_logit_is_the_log_odds_of_the_summed_softmax(logits):
    probability = torch.softmax(logits, 1)[:, 1:4].sum(1)
    assert torch.allclose(torch.sigmoid(entity_logit(logits, own=3)), probability)


def test_entity_loss_does_not_care_which_root_it_is():
    target = torch.zeros(1, 1, 4, 4, 4)
    target[..., 1:3] = 2
    swapped = target * 1.5
    assert entity_loss(sure(swapped, 5), target, own=4) == pytest.approx(-1, abs=1e-3)
    assert entity_loss(sure(target * 0, 5), target, own=4) > 0


def test_other_roots_are_not_roots_of_the_entity():
    target = torch.full((1, 1, 4, 4, 4), 4.0)
    target[..., 0] = 1
    assert entity_loss(sure(target, 5), target, own=3) == pytest.approx(-1, abs=1e-3)


def test_a_skeleton_lies_inside_its_root_and_keeps_its_class():
    classes = np.zeros((15, 15, 20), int)
    classes[3:6, 3:6, :] = 1
    classes[9:14, 9:14, :] = 2
    tube = tubed_skeleton(classes)
    assert set(np.unique(tube)) == {0, 1, 2}
    assert np.array_equal(tube[tube > 0], classes[tube > 0])
    assert tube[11, 11, 10] == 2


def test_skeleton_recall_is_one_for_the_truth_and_none_for_background():
    target = torch.zeros(1, 1, 12, 12, 12)
    target[:, :, 4:8, 4:8] = 1
    assert skeleton_recall_loss(sure(target, 3), target) == pytest.approx(-1, abs=1e-3)
    assert skeleton_recall_loss(sure(target * 0, 3), target) == pytest.approx(0, abs=1e-3)
    assert skeleton_recall_loss(sure(target * 0, 3), target * 0) == 0


def test_balanced_weights_follow_the_inverse_square_root_with_mean_one():
    weights = balanced_weights(np.array([10_000, 100, 400, 0]))
    assert weights[1] / weights[2] == pytest.approx(2)
    assert weights[1:3].mean() == pytest.approx(1)
    assert weights[3] == 1
    assert weights[0] == weights[2]


def test_without_options_the_loss_is_nnunets_own(logits):
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    target = torch.randint(0, 5, (2, 1, 4, 3, 2), generator=torch.Generator().manual_seed(1))
    own = DC_and_CE_loss(
        {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False},
        {},
        dice_class=MemoryEfficientSoftDiceLoss,
    )
    ours = RootLoss(4, batch_dice=True, ddp=False)
    assert torch.equal(ours(logits.float(), target.float()), own(logits.float(), target.float()))
