"""The training: a fixed number of steps on samples drawn anew for each, and an average of the
weights on the way. Same slices, settings and seed on the same machine: the same network."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from spinalroots.hardnet.anatomy.augmentation import augmented
from spinalroots.hardnet.anatomy.limits import Limits
from spinalroots.hardnet.anatomy.losses import anatomy_loss, naming_loss
from spinalroots.hardnet.anatomy.network import AnatomyNetwork, config, parted
from spinalroots.hardnet.anatomy.sampling import Slices, draw_rows, neighbour_offsets, take


@dataclass(frozen=True)
class Recipe:
    """What was chosen. `size` voxels of `voxel_mm` are the edge of a square, `slice_mm` apart;
    the slices learned from are `cut_size` wide, so that they can be turned and shifted."""

    preset: str = "small"
    size: int = 40
    cut_size: int = 60
    voxel_mm: float = 0.9
    predict_voxel_mm: float = 0.8
    """Voxels at prediction. A little finer than in training, within the scales drawn there: on two
    real scans, roots gained 0.02–0.08 Dice, sac and cord up to 0.02."""
    slice_mm: float = 1.2
    mirroring: bool = True
    """Average with the mirrored scan at prediction: twice the time, a steadier cord."""
    neighbours: int = 5
    steps: int = 800
    batch: int = 16
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warm_up: float = 0.05
    """Share of the steps until the learning rate is reached; it then falls as a cosine."""
    average: float = 0.99
    """Share of the averaged weights that each step keeps."""
    gradient_norm: float = 5.0
    limits: Limits = field(default_factory=Limits)

    bf16: bool = True
    naming: float = 0.3
    """Weight of the loss on names, beside that on tissues."""

    def network(self) -> AnatomyNetwork:
        """An untrained network."""
        return AnatomyNetwork(config(self.preset, self.neighbours))


def train(
    slices: Slices, recipe: Recipe, seed: int, report: Callable[[int, dict], None] | None = None
) -> AnatomyNetwork:
    """A trained network in eval mode; `report(step, losses)` is called after each step."""
    torch.manual_seed(seed)
    rows, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    offsets = torch.from_numpy(neighbour_offsets(recipe.neighbours))
    network = recipe.network().to(memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step / recipe.steps, recipe.warm_up)
        samples = take(slices, draw_rows(slices, recipe.batch, recipe.neighbours, rows))
        batch = augmented(
            samples,
            recipe.limits,
            generator,
            offsets=offsets,
            size=recipe.size,
            voxel_mm=recipe.voxel_mm,
        )
        image = batch.image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            outputs = network.trunk(image)
        logits, features = parted(outputs.float())
        tissues = anatomy_loss(logits, batch.classes)
        names = naming_loss(network.head, features, batch.names, batch.codes)
        optimizer.zero_grad()
        (tissues + recipe.naming * names).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_norm)
        optimizer.step()
        # Follows closely at first: early weights are worth nothing in the average.
        move_average(averaged, network, min(recipe.average, (step + 1) / (step + 10)))
        if report:
            report(step, {"tissues": tissues.item(), "names": names.item()})
    return averaged.eval()


def schedule(done: float, warm_up: float) -> float:
    """Learning rate over its highest when a share `done` of the steps is done.

    >>> schedule(0.0, 0.0), round(schedule(1.0, 0.0), 2)
    (1.0, 0.02)
    """
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
    return cosine * min(1.0, (done + 1e-3) / warm_up if warm_up else 1.0)


@torch.no_grad()
def move_average(averaged: torch.nn.Module, network: torch.nn.Module, keep: float) -> None:
    """Average of weights and batch-norm statistics: `keep` of it stays."""
    pairs = zip(averaged.state_dict().values(), network.state_dict().values(), strict=True)
    for mean, value in pairs:
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - keep)
