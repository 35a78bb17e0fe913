"""A short training without a trainer around it: what a trial of the tuning runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from spinalroots.compute.precision import resolved_precision
from spinalroots.hardnet.data.patches import Case
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.hardnet.network.segmentation import SegmentationHardnet
from spinalroots.hardnet.predictor import HardnetPredictor, input_shape
from spinalroots.hardnet.training.scores import stack_dice
from spinalroots.hardnet.training.step import (
    LARGEST_GRADIENT,
    Plan,
    autocast,
    batch_loss,
    build,
    optimizer,
    rate,
)
from spinalroots.inference.predictor import torch_runner
from spinalroots.registry.anatomy import Target


def short_training(
    plan: Plan, cases: list[Case], steps: int, device: str = "cpu"
) -> Iterator[tuple[int, float, SegmentationHardnet]]:
    """Train for `steps` optimizer steps; yields (steps done, loss, network) after each.

    Loss, optimizer, schedule and patches are those of the full training.
    """
    hardnet, tuned = plan.hardnet, plan.tuned
    network = build(plan).to(device)
    weights = plan.loss_weights
    precision = resolved_precision(tuned.precision, device)
    chosen = optimizer(network, tuned.learning_rate, hardnet.weight_decay, precision)
    patches = plan.patches(cases, steps * tuned.batch * tuned.accumulate, epoch=0)
    batches = iter(DataLoader(patches, tuned.batch))
    for step in range(steps):
        network.train()
        for group in chosen.param_groups:
            group["lr"] = tuned.learning_rate * rate(step, steps, hardnet.warm_up)
        shown = 0.0
        for _ in range(tuned.accumulate):
            batch = {name: value.to(device) for name, value in next(batches).items()}
            with autocast(precision, device):
                loss, _ = batch_loss(network, batch, weights, tuned.channels_last)
            (loss / tuned.accumulate).backward()
            shown += float(loss.detach()) / tuned.accumulate
        torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        chosen.step()
        chosen.zero_grad(set_to_none=True)
        yield step + 1, shown, network


def mean_dice(
    network: SegmentationHardnet, plan: Plan, spec: InputSpec, target: Target, cases: list[Case]
) -> np.ndarray:
    """Mean Dice (1 + n,) over whole `cases`: binary, then each label (nan if absent)."""
    network.eval()
    predictor = HardnetPredictor(
        "trial",
        target,
        network,
        input_shape(plan.config, spec, plan.tuned.patch_slices),
        spec,
        overlap=0.0,
    )
    device = next(network.parameters()).device.type
    with autocast(resolved_precision(plan.tuned.precision, device), device):
        run = torch_runner(network)
        scores = [
            stack_dice(
                predictor.stack_probabilities(case.stack, run),
                case.classes,
                target,
                "entity_first",
            )
            for case in cases
        ]
    present = np.array(scores)
    counts = np.isfinite(present).sum(axis=0)
    return np.where(counts > 0, np.nansum(present, axis=0) / np.maximum(counts, 1), np.nan)
