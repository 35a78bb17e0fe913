"""How sure must the network be of a root? Decided on the validation cases, after the training.

A short training leaves the sum of many root classes too low or too high. One number is added to the
logits of all root classes, in the bias of the last layer, so that one half is the right threshold
again for everyone who runs the network, exported or not. Which root it is stays untouched.
"""

from __future__ import annotations

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from scipy.special import logsumexp

from spinalroots.nnunet.predictor import NnunetPredictor

CANDIDATES = np.round(np.arange(-4, 4.01, 0.25), 2)
"""Biases that are tried: probabilities of 2 % to 98 % become one half."""


def entity_logits(logits: np.ndarray, own: int) -> np.ndarray:
    """Log-odds (...) of any class 1..own against all others, from logits (classes, ...)."""
    rest = np.concatenate([logits[:1], logits[own + 1 :]])
    return logsumexp(logits[1 : own + 1], axis=0) - logsumexp(rest, axis=0)


def best_bias(odds: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float, float]:
    """The bias with the best mean Dice of ``odds + bias > 0`` over the cases; the smallest of ties.

    :returns: the bias, and the Dice without and with it. A case without roots does not count.
    """
    cases = [(o, t) for o, t in zip(odds, truth, strict=True) if t.any()]
    if not cases:
        return 0.0, float("nan"), float("nan")
    scores = {
        float(bias): float(np.mean([_dice(o > -bias, t) for o, t in cases])) for bias in CANDIDATES
    }
    bias = max(scores, key=lambda candidate: (scores[candidate], -abs(candidate)))
    return bias, scores[0.0], scores[bias]


def calibrate(predictor: NnunetPredictor, folder: str, cases: list[str]) -> dict:
    """Shift the predictor's network by the best bias over preprocessed cases; tells what it did."""
    dataset = nnUNetDatasetBlosc2(folder, list(cases))
    own = len(predictor.target.values)
    odds, truth = [], []
    for case in dataset.identifiers:
        data, labels, _, _ = dataset.load_case(case)
        data, labels = np.asarray(data[:], np.float32), np.asarray(labels[0])
        odds.append(entity_logits(predictor.slide(data), own).astype(np.float32))
        truth.append((labels >= 1) & (labels <= own))
    bias, before, after = best_bias(odds, truth)
    shift_roots(predictor.network, own, bias)
    return {"bias": bias, "validation_dice_before": before, "validation_dice_after": after}


def shift_roots(network: torch.nn.Module, own: int, bias: float) -> None:
    """Add `bias` to the logits of the classes 1..own of nnU-Net's network."""
    with torch.no_grad():
        network.decoder.seg_layers[-1].bias[1 : own + 1] += bias


def _dice(found: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))
