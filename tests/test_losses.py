"""The terms that both families share, against closed forms, naive counts and one another."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from spinalroots.losses.terms import (
    entity_logarithms,
    entity_loss,
    identity_loss,
    skeleton_recall,
    soft_dice,
)
from spinalroots.losses.truth import balanced_weights, tubed_skeleton


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(
        2, 5, 4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def sure(classes: torch.Tensor, count: int) -> torch.Tensor:
    """Log-probabilities (B, count, *spatial) of a network that is certain of `classes`."""
    one_hot = torch.nn.functional.one_hot(classes.long(), count).movedim(-1, 1)
    return (40.0 * one_hot.float()).log_softmax(1)


def some_classes(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, count, (2, 6, 5, 4), np.uint8))


def test_soft_dice_of_hard_masks_is_the_counted_dice():
    rng = np.random.default_rng(3)
    first, second = rng.random((2, 3, 5, 5)) < 0.4, rng.random((2, 3, 5, 5)) < 0.4
    values = soft_dice(torch.from_numpy(first).float(), torch.from_numpy(second).float())
    for channel in range(3):
        one, two = first[:, channel], second[:, channel]
        expected = 2 * (one & two).sum() / (one.sum() + two.sum())
        assert float(values[channel]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("own", [3, 4])
def test_the_chance_of_any_root_is_the_sum_of_its_classes(own, logits):
    chances = torch.softmax(logits, 1)
    root, rest = entity_logarithms(logits.log_softmax(1), own)
    assert torch.allclose(root.exp(), chances[:, 1 : own + 1].sum(1))
    assert torch.allclose(rest.exp(), 1 - chances[:, 1 : own + 1].sum(1))


def test_without_other_roots_every_class_but_the_background_is_a_root(logits):
    classes = some_classes(5)[:, :4, :3, :2] > 2
    logarithms = logits.log_softmax(1)
    assert torch.equal(entity_loss(logarithms, classes), entity_loss(logarithms, classes, own=4))


def test_the_entity_loss_does_not_care_which_root_it_is():
    classes = some_classes(4)
    swapped = torch.where(classes > 0, 4 - classes.long(), 0)
    for guess in (classes, swapped):
        assert float(entity_loss(sure(guess, 5), classes > 0)) == pytest.approx(0, abs=1e-4)
    assert float(entity_loss(sure(classes * 0, 5), classes > 0)) > 1


def test_other_roots_are_not_roots_of_the_entity():
    classes = torch.full((1, 4, 4, 4), 4)
    classes[..., 0] = 1
    assert float(entity_loss(sure(classes, 5), classes == 1, own=3)) == pytest.approx(0, abs=1e-4)
    assert float(entity_loss(sure(classes, 5), classes == 1)) > 0.5


def test_the_identity_loss_looks_at_known_roots_only():
    classes = torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8)
    logits = torch.tensor([[[9.0, 0, 0, 0], [0, 2, 2, 5], [0, 1, 1, 0], [0, 0, 0, 0]]])
    lots = math.log(math.exp(2) + math.exp(1) + 1)
    found = identity_loss(logits, classes, classes != 255)
    assert float(found) == pytest.approx((lots - 2 + lots - 1) / 2, abs=1e-5)


def test_without_a_root_the_identity_loss_is_nothing_and_still_has_a_gradient(logits):
    logits.requires_grad_()
    loss = identity_loss(logits, torch.zeros(2, 4, 3, 2))
    loss.backward()
    assert float(loss) == 0
    assert not logits.grad.any()


def test_skeleton_recall_counts_the_covered_share_of_each_class():
    skeleton = torch.zeros(1, 3, 4, 4)
    skeleton[0, 0, 0] = 1
    skeleton[0, 1, :2, 0] = 1
    found = torch.zeros(1, 3, 4, 4)
    found[0, 0, 0, :3] = 1
    found[0, 1, 0, 0] = 1
    assert float(skeleton_recall(found, skeleton)) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert float(skeleton_recall(found, skeleton * 0)) == 0


def test_a_skeleton_lies_inside_its_root_and_keeps_its_class():
    classes = np.zeros((15, 15, 20), int)
    classes[3:6, 3:6, :] = 1
    classes[9:14, 9:14, :] = 2
    tube = tubed_skeleton(classes)
    assert set(np.unique(tube)) == {0, 1, 2}
    assert np.array_equal(tube[tube > 0], classes[tube > 0])
    assert tube[11, 11, 10] == 2


def test_balanced_weights_follow_the_inverse_square_root_with_mean_one():
    weights = balanced_weights(np.array([10_000, 100, 400, 0]))
    assert weights[1] / weights[2] == pytest.approx(2)
    assert weights[1:3].mean() == pytest.approx(1)
    assert weights[3] == 1
    assert weights[0] == weights[2]
