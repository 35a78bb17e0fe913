"""One training, fully determined, and what follows from its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import TypeAdapter

from spinalroots.errors import InputError
from spinalroots.hardnet.data.drawing import Draws, balanced_draws
from spinalroots.hardnet.data.patches import Patches, PatchShape
from spinalroots.hardnet.data.stacks import TrainingStack
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.hardnet.training.losses import LossWeights
from spinalroots.registry.anatomy import Target
from spinalroots.settings.augment import Transforms
from spinalroots.settings.hardnet import Recipe, Tunable


@dataclass(frozen=True)
class TrainingPlan:
    """Recipe, tuned values and what is learned; how long it takes is not part of it.

    `class_weights`: one cross-entropy weight a class, background first. `transforms`: limits of the
    augmentation, offline and here the same; None for none.
    """

    recipe: Recipe
    tuned: Tunable
    target: Target
    seed: int
    class_weights: tuple[float, ...] | None = None
    transforms: Transforms | None = None

    def as_dict(self) -> dict:
        """Plain values for a JSON file; :meth:`from_dict` reads them back."""
        return TypeAdapter(TrainingPlan).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, record: dict) -> TrainingPlan:
        """Inverse of :meth:`as_dict`."""
        return TypeAdapter(cls).validate_python(record)

    @property
    def spec(self) -> InputSpec:
        """The squares that the scans are cut into."""
        return InputSpec(self.recipe.square_mm, self.recipe.voxel_mm, self.recipe.slice_mm)

    @property
    def shape(self) -> PatchShape:
        """Shape of a patch."""
        return PatchShape(
            self.recipe.dim,
            self.tuned.patch_vox,
            self.tuned.patch_slices,
            self.tuned.neighbours,
            self.recipe.height_channel,
        )

    @property
    def config(self) -> NetworkConfig:
        """Network that is trained."""
        return NetworkConfig.of(
            self.recipe.preset,
            dim=self.recipe.dim,
            channels=self.shape.channels,
            classes=len(self.target.class_names),
            width=self.tuned.width,
            in_plane_stem_stride=self.recipe.stem_stride,
            deep_supervision=self.recipe.deep_supervision,
        )

    def steps(self, megavoxels: float, processes: int = 1) -> int:
        """Optimizer steps that see so many voxels over all processes, whatever patch and batch."""
        return max(1, round(megavoxels * 1e6 / (self.shape.voxels * self.step_patches(processes))))

    def step_patches(self, processes: int = 1) -> int:
        """Patches of one optimizer step, over all processes."""
        return self.tuned.batch * self.tuned.accumulate * processes

    @property
    def augmentation(self) -> Transforms | None:
        """Limits for patches: the shared ones, but mirrored as often as HarDNet may be."""
        if self.recipe.augmentation == "none" or self.transforms is None:
            return None
        mirrored = self.transforms.flip.model_copy(
            update={"probability": self.recipe.flip_probability}
        )
        return self.transforms.model_copy(update={"flip": mirrored})

    def draws(self, stacks: Sequence[TrainingStack]) -> Draws:
        """How often each case and root is drawn, all through the training."""
        return balanced_draws(
            stacks,
            self.shape,
            foreground=self.recipe.foreground_share,
            ratio=self.recipe.rarest_share,
            seed=self.seed,
        )

    def patches(
        self, stacks: Sequence[TrainingStack], draws: Draws, samples: int, epoch: int
    ) -> Patches:
        """The patches of one epoch, over all processes."""
        edge_mm, slice_mm = self.recipe.voxel_mm, self.recipe.slice_mm
        return Patches(
            stacks,
            self.shape,
            samples=samples,
            epoch=epoch,
            seed=self.seed,
            foreground=self.recipe.foreground_share,
            draws=draws,
            augmentation=self.augmentation,
            spacing_mm=(edge_mm, edge_mm, slice_mm or edge_mm),
            skeleton=self.recipe.skeleton_weight > 0,
        )

    @property
    def loss_weights(self) -> LossWeights:
        """Weights of the loss."""
        return LossWeights(
            entity=self.recipe.entity_weight,
            level=self.recipe.level_weight,
            skeleton=self.recipe.skeleton_weight,
            classes=self.class_weights,
        )


def build(plan: TrainingPlan) -> SegmentationHardnet:
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
                expected=f"a multiple of {divisor} for the preset {plan.recipe.preset!r}",
                found=str(length),
                fix="Change the patch (also in tune), or choose a preset with fewer levels.",
            )
    torch.manual_seed(plan.seed)
    network = SegmentationHardnet(plan.config, checkpointing=plan.tuned.checkpointing)
    if plan.tuned.channels_last:
        network = network.to(memory_format=memory_format(plan.recipe.dim))
    return network


def memory_format(dim: int) -> torch.memory_format:
    """Channels-last in 2D or 3D."""
    return torch.channels_last_3d if dim == 3 else torch.channels_last
