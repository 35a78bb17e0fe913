"""Dice of whole straightened scans, quick enough for every validation."""

from collections.abc import Sequence

import numpy as np
import torch

from spinalroots.hardnet.data.stacks import UNKNOWN_ROOT, TrainingStack
from spinalroots.hardnet.predictor import HardnetPredictor, input_shape
from spinalroots.hardnet.training.plan import TrainingPlan
from spinalroots.hardnet.training.step import TrainingStep
from spinalroots.inference.predictor import decode
from spinalroots.metrics.overlap import dice
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import HardnetInference

VALIDATION = HardnetInference(decoding="entity_first", overlap=0.5, mirroring=False)
"""How validation cases are segmented, whatever a person later asks of the trained model."""


def predictor(plan: TrainingPlan, network: torch.nn.Module, name: str) -> HardnetPredictor:
    """The network with all that it takes to segment a scan."""
    shape = input_shape(plan.config, plan.spec, plan.tuned.patch_slices)
    return HardnetPredictor(name, plan.target, network, shape, plan.spec, VALIDATION)


def validation_dice(step: TrainingStep, stacks: Sequence[TrainingStack]) -> dict[str, float]:
    """Mean Dice over whole `stacks`, in the training's number format: `dice` of any root,
    `dice_levels`, and `dice_<label>` of each label; what no stack has is left out."""
    step.network.eval()
    found = predictor(step.plan, step.network, "validation")
    with step.fabric.autocast():
        scores = np.array(
            [
                stack_dice(found.stack_probabilities(stack), stack.classes, found.target)
                for stack in stacks
            ]
        )
    present = np.isfinite(scores)
    counts = present.sum(axis=0)
    means = np.where(present, scores, 0).sum(axis=0) / np.maximum(counts, 1)
    named = zip(step.plan.target.names, means[1:], counts[1:], strict=True)
    levels = {f"dice_{name}": float(mean) for name, mean, count in named if count}
    figures = {"dice": float(means[0]), **levels}
    if levels:
        figures["dice_levels"] = float(np.mean(list(levels.values())))
    return figures


def stack_dice(chances: np.ndarray, classes: np.ndarray, target: Target) -> np.ndarray:
    """Dice (1 + n,) of class probabilities (classes, S, S, Z): binary first, then each label.

    `classes` (S, S, Z) as in :class:`~spinalroots.hardnet.data.stacks.TrainingStack`; voxels of an
    unnamed root are not counted. A label that neither side has is nan.
    """
    known = classes != UNKNOWN_ROOT
    truth = classes * known
    predicted = target.encode(decode(chances, target, VALIDATION.decoding)) * known
    each = [dice(truth == value, predicted == value) for value in range(1, len(target.values) + 1)]
    return np.array([dice(truth, predicted), *each])
