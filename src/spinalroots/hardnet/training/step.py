"""What training means, free of any trainer: settings, one step's loss, optimizer and learning rate.

The Lightning trainer and the short trainings of the tuning share it, so that what was tuned is what
is trained.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from spinalroots.errors import InputError
from spinalroots.hardnet.data.patches import Case, Patches, PatchShape
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.hardnet.training.losses import LossWeights, loss_terms, total

if TYPE_CHECKING:
    from spinalroots.settings.augment import Transforms
    from spinalroots.settings.hardnet import Hardnet, Tunable

LARGEST_GRADIENT = 1.0
"""Gradients are shortened to this norm."""

DEEP_SUPERVISION_DECAY = 0.5
"""Each coarser output weighs half as much as the finer one."""


@dataclass(frozen=True)
class Plan:
    """One training, fully determined: parameters, tuned values and the classes to learn.

    `class_weights`: one cross-entropy weight a class, background first. `transforms`: limits of the
    augmentation, offline and here the same; None for none.
    """

    hardnet: Hardnet
    tuned: Tunable
    classes: int
    seed: int
    class_weights: tuple[float, ...] | None = None
    transforms: Transforms | None = None

    @property
    def shape(self) -> PatchShape:
        """Shape of a patch."""
        return PatchShape(
            self.hardnet.dim,
            self.tuned.patch_vox,
            self.tuned.patch_slices,
            self.tuned.neighbours,
            self.hardnet.height_channel,
        )

    @property
    def config(self) -> NetworkConfig:
        """Network that is trained."""
        return NetworkConfig.of(
            self.hardnet.preset,
            dim=self.hardnet.dim,
            channels=self.shape.channels,
            classes=self.classes,
            width=self.tuned.width,
            in_plane_stem_stride=self.hardnet.stem_stride,
            deep_supervision=self.hardnet.deep_supervision,
        )

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch: an epoch is so many voxels, whatever the batch."""
        voxels = self.shape.voxels * self.tuned.batch * self.tuned.accumulate
        return max(1, round(self.hardnet.epoch_megavoxels * 1e6 / voxels))

    @property
    def samples(self) -> int:
        """Patches of an epoch."""
        return self.steps * self.tuned.batch * self.tuned.accumulate

    @property
    def augmentation(self) -> Transforms | None:
        """Limits for patches: the shared ones, but mirrored as often as HarDNet may be."""
        if self.hardnet.augmentation == "none" or self.transforms is None:
            return None
        mirrored = self.transforms.flip.model_copy(
            update={"probability": self.hardnet.flip_probability}
        )
        return self.transforms.model_copy(update={"flip": mirrored})

    def patches(self, cases: list[Case], samples: int, epoch: int) -> Patches:
        """The patches of one epoch."""
        edge_mm, slice_mm = self.hardnet.voxel_mm, self.hardnet.slice_mm
        return Patches(
            cases,
            self.shape,
            samples=samples,
            epoch=epoch,
            seed=self.seed,
            foreground=self.hardnet.foreground_share,
            augmentation=self.augmentation,
            spacing_mm=(edge_mm, edge_mm, slice_mm or edge_mm),
            skeleton=self.hardnet.skeleton_weight > 0,
        )

    @property
    def loss_weights(self) -> LossWeights:
        """Weights of the loss."""
        return LossWeights(
            entity=self.hardnet.entity_weight,
            level=self.hardnet.level_weight,
            skeleton=self.hardnet.skeleton_weight,
            classes=self.class_weights,
        )


def build(plan: Plan) -> SegmentationHardnet:
    """A freshly initialised network: the same weights for the same seed.

    :raises InputError: the patch cannot be halved as often as the preset does.
    """
    for name, length, divisor in zip(
        ("patch_vox", "patch_vox", "patch_slices"),
        plan.shape.extent,
        plan.config.divisors,
        strict=False,
    ):
        if length % divisor:
            raise InputError(
                f"hardnet.{name}",
                expected=f"a multiple of {divisor} for the preset {plan.hardnet.preset!r}",
                found=str(length),
                fix="Change the patch (also in tune), or choose a preset with fewer levels.",
            )
    torch.manual_seed(plan.seed)
    network = SegmentationHardnet(plan.config, checkpointing=plan.tuned.checkpointing)
    if plan.tuned.channels_last:
        network = network.to(memory_format=memory_format(plan.hardnet.dim))
    return network


def memory_format(dim: int) -> torch.memory_format:
    """Channels-last in 2D or 3D."""
    return torch.channels_last_3d if dim == 3 else torch.channels_last


def batch_loss(
    network: nn.Module, batch: dict[str, torch.Tensor], weights: LossWeights, channels_last: bool
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss of a batch, and its terms at full resolution for the log."""
    image = batch["image"]
    if channels_last:
        image = image.contiguous(memory_format=memory_format(image.ndim - 2))
    outputs = network(image)
    if isinstance(outputs, torch.Tensor):
        outputs = [outputs]
    loss, shown = torch.zeros((), device=image.device), {}
    for level, logits in enumerate(outputs):
        classes, skeleton = batch["classes"], batch.get("skeleton")
        if level:
            classes = shrunk(classes, logits.shape[2:])
            skeleton = None if skeleton is None else shrunk(skeleton, logits.shape[2:])
        terms = loss_terms(logits, classes, weights, skeleton)
        loss = loss + DEEP_SUPERVISION_DECAY**level * total(terms, weights)
        shown = shown or terms
    return loss, shown


def shrunk(labels: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """(B, *spatial) labels at a coarser `size`: the largest label of each cell, so that a thin root
    does not vanish (unknown roots, 255, win over known ones)."""
    pool = (
        nn.functional.adaptive_max_pool3d if len(size) == 3 else nn.functional.adaptive_max_pool2d
    )
    return pool(labels[:, None].float(), tuple(size))[:, 0].to(labels.dtype)


def optimizer(
    network: nn.Module, learning_rate: float, weight_decay: float, precision: str = "32"
) -> torch.optim.Optimizer:
    """AdamW; no weight decay on batch norms and biases.

    In one kernel (`fused`) except with fp16, whose loss scaling needs to see the gradients first.
    """
    decayed = [value for value in network.parameters() if value.ndim > 1]
    plain = [value for value in network.parameters() if value.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=precision != "16-mixed")


def rate(step: int, steps: int, warm_up: float) -> float:
    """Factor on the learning rate: a linear rise over the share `warm_up`, then half a cosine."""
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))


def autocast(precision: str, device: str) -> AbstractContextManager:
    """Mixed precision as `precision` says (32, bf16-mixed, 16-mixed)."""
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    return torch.autocast(device, kinds.get(precision, torch.bfloat16), enabled=precision in kinds)
