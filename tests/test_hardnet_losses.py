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


def test_no_term_has_a_gradient_on_unnamed_roots():
    weights = LossWeights(entity=1.0, level=1.0, skeleton=1.0, classes=(1.0, 2.0, 3.0, 4.0))
    classes = some_classes()
    classes[:, 2:4] = UNKNOWN_ROOT
    unnamed = (classes == UNKNOWN_ROOT).unsqueeze(1)
    logits = torch.randn(2, 4, 6, 5, 4, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    for name, term in loss_terms(logits, classes, weights, classes > 0).items():
        (gradient,) = torch.autograd.grad(term, logits, retain_graph=True)
        assert not (gradient * unnamed).any(), name
        assert (gradient * ~unnamed).any(), name
    alone = torch.full_like(classes, UNKNOWN_ROOT)
    terms = loss_terms(logits, alone, LossWeights(cross_entropy=0, entity=1.0, level=1.0))
    assert math.isfinite(float(sum(terms.values()).detach()))


def test_shrinking_labels_keeps_a_thin_root():
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[0, 5, :] = 3
    small = shrunk(labels, (4, 4))
    assert small[0, 2].tolist() == [3, 3, 3, 3]
    assert int((small > 0).sum()) == 4
    labels[0, 4, :4], labels[0, 0, 0] = UNKNOWN_ROOT, UNKNOWN_ROOT
    small = shrunk(labels, (4, 4))
    assert small[0, 2].tolist() == [3, 3, 3, 3]
    assert small[0, 0].tolist() == [UNKNOWN_ROOT, 0, 0, 0]


def test_learning_rate_rises_then_falls_to_nothing():
    values = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert values[0] == pytest.approx(0.1)
    assert max(values) == values[9] == pytest.approx(1.0)
    assert values[100] == pytest.approx(0.0)
    assert values[10:] == sorted(values[10:], reverse=True)


def test_stack_dice_leaves_unnamed_roots_out():
    target = Target.of("levels", "sacral")
    classes = np.zeros((4, 4, 2), np.uint8)
    classes[0] = 1
    classes[1] = UNKNOWN_ROOT
    for guess in (np.where(classes > 0, 1, 0), np.where(classes == 1, 1, 0)):
        chances = np.stack([guess == value for value in range(4)]).astype(np.float32)
        scores = stack_dice(chances, classes, target)
        assert scores[:2].tolist() == [1.0, 1.0]
        assert np.isnan(scores[2:]).all()
