"""The threshold of root or not, against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from spinalroots.anatomy import Target
from spinalroots.inference import decode
from spinalroots.nnunet.calibration import CANDIDATES, best_bias, entity_logits, shift_roots


class Last(torch.nn.Module):
    """What nnU-Net's network ends in."""

    def __init__(self, classes: int):
        super().__init__()
        self.decoder = torch.nn.Module()
        self.decoder.seg_layers = torch.nn.ModuleList([torch.nn.Conv3d(1, classes, 1)])

    def forward(self, x):
        return self.decoder.seg_layers[-1](x)


def test_entity_logits_are_the_log_odds_of_the_summed_softmax():
    logits = np.random.default_rng(0).normal(0, 3, (6, 4, 5))
    summed = softmax(logits, axis=0)[1:5].sum(axis=0)
    assert np.allclose(entity_logits(logits, own=4), np.log(summed / (1 - summed)))


def test_best_bias_is_the_best_of_all_candidates():
    random = np.random.default_rng(1)
    truth = [random.random((6, 6, 6)) < 0.2 for _ in range(3)]
    odds = [np.where(mask, 0.5, -2.5) + random.normal(0, 1, mask.shape) - 1 for mask in truth]

    def dice(bias):
        pairs = [(o + bias > 0, t) for o, t in zip(odds, truth, strict=True)]
        return np.mean([2 * (f & t).sum() / (f.sum() + t.sum()) for f, t in pairs])

    bias, before, after = best_bias(odds, truth)
    assert before == pytest.approx(dice(0))
    assert after == pytest.approx(max(dice(candidate) for candidate in CANDIDATES))
    assert after == pytest.approx(dice(bias))
    assert bias > 0


def test_a_network_that_is_right_already_is_left_alone():
    truth = np.zeros((4, 4, 4), bool)
    truth[1] = True
    assert best_bias([np.where(truth, 9.0, -9.0)], [truth]) == (0.0, 1.0, 1.0)
    assert best_bias([np.ones((2, 2, 2))], [np.zeros((2, 2, 2), bool)])[0] == 0


def test_the_shift_moves_one_half_to_the_chosen_threshold_and_names_no_other_root():
    target = Target.of("levels", "sacral")
    own = len(target.values)
    network, x = Last(own + 1), torch.randn(1, 1, 6, 6, 6)
    before = network(x).detach().numpy()[0]
    shift_roots(network, own, 1.5)
    after = network(x).detach().numpy()[0]
    assert np.allclose(entity_logits(after, own), entity_logits(before, own) + 1.5, atol=1e-5)
    likeliest = target.decode(before[1:].argmax(axis=0) + 1)
    expected = np.where(entity_logits(before, own) > -1.5, likeliest, 0)
    assert np.array_equal(decode(softmax(after, axis=0), target, "entity_first"), expected)


def test_other_roots_keep_their_logits():
    network = Last(5)
    before = network.decoder.seg_layers[-1].bias.detach().clone()
    shift_roots(network, own=3, bias=2.0)
    moved = network.decoder.seg_layers[-1].bias.detach() - before
    assert moved.tolist() == pytest.approx([0, 2, 2, 2, 0], abs=1e-5)
