"""The loss terms against closed forms and naive counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from spinalroots.hardnet.data.stacks import UNKNOWN_ROOT
from spinalroots.hardnet.training.losses import LossWeights, loss_terms, total
from spinalroots.hardnet.training.scores import stack_dice
from spinalroots.hardnet.training.step import learning_rate_factor, shrunk
from spinalroots.registry.anatomy import Target

ALL = LossWeights(entity=1.0, level=1.0)


def certain(classes: torch.Tensor, count: int) -> torch.Tensor:
    """Logits (B, count, *spatial) that are sure of `classes`."""
    return 50.0 * torch.nn.functional.one_hot(classes.long(), count).movedim(-1, 1).float()


def some_classes() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 4, (2, 6, 5, 4), np.uint8))


def test_a_perfect_answer_costs_nothing():
    classes = some_classes()
    terms = loss_terms(certain(classes, 4), classes, ALL)
    assert float(total(terms, ALL)) == pytest.approx(0.0, abs=1e-4)


def test_uniform_logits_cost_the_logarithm_of_the_class_count():
    terms = loss_terms(torch.zeros(2, 4, 6, 5, 4), some_classes(), ALL)
    assert float(terms["cross_entropy"]) == pytest.approx(math.log(4))


def test_a_root_of_unknown_level_asks_for_a_root_but_for_no_level():
    classes = torch.full((1, 3, 3), UNKNOWN_ROOT, dtype=torch.uint8)
    classes[0, 0] = 0
    one, two = certain(classes.clamp(max=1), 4), certain(classes.clamp(max=2), 4)
    for name in ("cross_entropy", "dice"):
        a, b = (loss_terms(x, classes, ALL)[name] for x in (one, two))
        assert float(a) == pytest.approx(float(b))
    missed = loss_terms(certain(torch.zeros_like(classes), 4), classes, ALL)
    assert float(missed["entity"]) > 1 > float(loss_terms(one, classes, ALL)["entity"]) + 0.99


def test_shrinking_labels_keeps_a_thin_root():
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[0, 5, :] = 3
    small = shrunk(labels, (4, 4))
    assert small[0, 2].tolist() == [3, 3, 3, 3]
    assert int((small > 0).sum()) == 4


def test_learning_rate_rises_then_falls_to_nothing():
    values = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert values[0] == pytest.approx(0.1)
    assert max(values) == values[9] == pytest.approx(1.0)
    assert values[100] == pytest.approx(0.0)
    assert values[10:] == sorted(values[10:], reverse=True)


def test_stack_dice_counts_unknown_roots_for_the_binary_score_only():
    target = Target.of("levels", "sacral")
    classes = np.zeros((4, 4, 2), np.uint8)
    classes[0] = 1
    classes[1] = UNKNOWN_ROOT
    guess = np.where(classes > 0, 1, 0)
    chances = np.stack([guess == value for value in range(4)]).astype(np.float32)
    scores = stack_dice(chances, classes, target)
    assert scores[:2].tolist() == [1.0, 1.0]
    assert np.isnan(scores[2:]).all()
