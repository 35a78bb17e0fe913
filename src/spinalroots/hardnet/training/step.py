"""One optimizer step: the training and the trials of the tuning take the very same.

Lightning Fabric does what depends on the machine: device, number format, the scaling of fp16's
gradients, several processes.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from spinalroots.compute.device import resolved_precision
from spinalroots.hardnet.data.drawing import Draws
from spinalroots.hardnet.data.stacks import UNKNOWN_ROOT, TrainingStack
from spinalroots.hardnet.training.losses import LossWeights, loss_terms, total
from spinalroots.hardnet.training.plan import TrainingPlan, build, memory_format

LARGEST_GRADIENT = 1.0
"""Gradients are shortened to this norm."""

DEEP_SUPERVISION_DECAY = 0.5
"""Each coarser output weighs half as much as the finer one."""


class TrainingStep:
    """Network and optimizer of `plan`; called, it takes one of `steps` optimizer steps.

    `done` counts them over all epochs; every process counts alike, since all step together.
    `seen` (classes,): voxels of each class that this process has learnt from.
    """

    def __init__(self, plan: TrainingPlan, fabric: Fabric, steps: int):
        self.plan, self.fabric, self.steps, self.done = plan, fabric, steps, 0
        self.network = build(plan)
        self.seen = torch.zeros(len(plan.target.class_names), dtype=torch.long)
        self._draws: Draws | None = None
        wanted = adamw(self.network, plan, one_kernel=_scaler(fabric) is None)
        self._wrapped, self._optimizer = fabric.setup(self.network, wanted)

    def batches(
        self, stacks: Sequence[TrainingStack], steps: int, epoch: int, workers: int = 0
    ) -> Iterator[dict[str, torch.Tensor]]:
        """This process's share of an epoch of `steps` optimizer steps, on its device."""
        samples = steps * self.plan.step_patches(self.fabric.world_size)
        self._draws = self._draws or self.plan.draws(stacks)
        patches = self.plan.patches(stacks, self._draws, samples, epoch)
        loader = DataLoader(patches, self.plan.tuned.batch, num_workers=workers)
        return iter(self.fabric.setup_dataloaders(loader))

    def __call__(self, batches: Iterator[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Take the step; returns the `loss` of this process's patches, and its terms."""
        tuned, weights = self.plan.tuned, self.plan.loss_weights
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
        self._wrapped.train()
        figures: dict[str, torch.Tensor] = {}
        for number in range(tuned.accumulate):
            more = number + 1 < tuned.accumulate
            with self.fabric.no_backward_sync(self._wrapped, enabled=more):
                batch = next(batches)
                counts = torch.bincount(batch["classes"].flatten().long().cpu(), minlength=256)
                self.seen += counts[: len(self.seen)]
                loss, terms = batch_loss(self._wrapped, batch, weights, tuned.channels_last)
                self.fabric.backward(loss / tuned.accumulate)
            for name, value in {"loss": loss, **terms}.items():
                figures[name] = figures.get(name, 0.0) + value.detach() / tuned.accumulate
        self.fabric.clip_gradients(
            self._wrapped,
            self._optimizer,
            max_norm=LARGEST_GRADIENT,
            error_if_nonfinite=False,
        )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.done += 1
        return figures

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        factor = learning_rate_factor(self.done, self.steps, self.plan.recipe.warm_up)
        return self.plan.tuned.learning_rate * factor

    def state(self) -> dict:
        """All that decides how the training goes on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "done": self.done,
            "seen": self.seen,
        }

    def restore(self, state: dict) -> None:
        """Go on from a :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.done, self.seen = state["done"], state["seen"].cpu()


def start_fabric(precision: str, device: str, devices: str | int = 1) -> Fabric:
    """Lightning's Fabric, its processes launched.

    :param precision: `auto`, `32`, `bf16-mixed` or `16-mixed` (which is bf16 on a CPU).
    :param device: `cpu` or `cuda`.
    :param devices: how many processes, `auto` for one a GPU.
    """
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        fabric = Fabric(
            accelerator=device,
            devices=1 if device == "cpu" and devices == "auto" else devices,
            precision=resolved_precision(precision, device),
        )
        fabric.launch()
    return fabric


def _scaler(fabric: Fabric):
    """What scales fp16's gradients; None in every other number format."""
    return getattr(fabric.strategy.precision, "scaler", None)


def batch_loss(
    network: nn.Module, batch: dict[str, torch.Tensor], weights: LossWeights, channels_last: bool
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss of a batch, and its terms at full resolution for the log, as `loss_<name>`."""
    image = batch["image"]
    if channels_last:
        image = image.contiguous(memory_format=memory_format(image.ndim - 2))
    outputs = network(image)
    if isinstance(outputs, torch.Tensor):
        outputs = [outputs]
    loss = torch.zeros((), device=image.device)
    shown: dict = {}
    for level, logits in enumerate(outputs):
        classes, skeleton = batch["classes"], batch.get("skeleton")
        if level:
            classes = shrunk(classes, logits.shape[2:])
            skeleton = None if skeleton is None else shrunk(skeleton, logits.shape[2:])
        terms = loss_terms(logits, classes, weights, skeleton)
        loss = loss + DEEP_SUPERVISION_DECAY**level * total(terms, weights)
        shown = shown or {f"loss_{name}": value for name, value in terms.items()}
    return loss, shown


def shrunk(labels: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """(B, *spatial) labels at a coarser `size`: the largest label of each cell, so that a thin root
    does not vanish; an unnamed root wins over background only."""
    pool = (
        nn.functional.adaptive_max_pool3d if len(size) == 3 else nn.functional.adaptive_max_pool2d
    )
    least = torch.where(labels == UNKNOWN_ROOT, 0.5, labels.float())
    small = pool(least[:, None], tuple(size))[:, 0]
    return torch.where(small == 0.5, UNKNOWN_ROOT, small).to(labels.dtype)


def adamw(network: nn.Module, plan: TrainingPlan, *, one_kernel: bool) -> torch.optim.Optimizer:
    """AdamW; no weight decay on batch norms and biases.

    :param one_kernel: quicker; not with fp16, whose scaling needs to see the gradients first.
    """
    decayed = [value for value in network.parameters() if value.ndim > 1]
    plain = [value for value in network.parameters() if value.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": plan.recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.tuned.learning_rate, fused=one_kernel)


def learning_rate_factor(step: int, steps: int, warm_up: float) -> float:
    """A linear rise over the share `warm_up` of the steps, then half a cosine down to 0."""
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))
