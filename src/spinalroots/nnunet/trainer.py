"""nnU-Net's trainer with our losses, our budgets and no mirror."""

import contextlib

import numpy as np
import torch
from batchgeneratorsv2.helpers.scalar_type import RandomScalar
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from spinalroots.compute.device import cpu_computes_bf16
from spinalroots.inference.layout import grouped
from spinalroots.nnunet.augmentation import light_transforms
from spinalroots.nnunet.losses import RootLoss
from spinalroots.nnunet.resumable import ResumableTrainer, seed_everything


def by_size(voxels: dict[str, int], patch_voxels: int) -> list[str]:
    """Cases, each named as often as patches fit into it, at least once.

    >>> by_size({"scan": 900, "crop": 120}, 300)
    ['scan', 'scan', 'scan', 'crop']
    """
    return [
        case for case, size in voxels.items() for _ in range(max(1, round(size / patch_voxels)))
    ]


class WarmUpPoly(PolyLRScheduler):
    """nnU-Net's poly schedule after a linear rise over the first `warm_up` epochs."""

    def __init__(self, optimizer, initial_lr: float, max_steps: int, warm_up: float):
        self.warm_up = warm_up
        super().__init__(optimizer, initial_lr, max_steps)

    def step(self, current_step=None):
        """Set the rate of an epoch; fractions are batches."""
        super().step(current_step)
        if current_step is not None and 0 <= current_step < self.warm_up:
            rise = (current_step + 0.1 * self.warm_up) / (1.1 * self.warm_up)
            for group in self.optimizer.param_groups:
                group["lr"] *= rise


class SpinalrootsTrainer(ResumableTrainer):
    """nnU-Net's training by our settings."""

    def take_settings(self):
        """Budgets and rates."""
        settings = self.settings
        self.initial_lr = settings["learning_rate"]
        self.weight_decay = settings["weight_decay"]
        self.num_epochs = settings["epochs"]
        self.num_iterations_per_epoch = settings["iterations"]
        self.num_val_iterations_per_epoch = settings["validation_iterations"]
        self.oversample_foreground_percent = settings["foreground_share"]
        # nnU-Net reserves whole places of the batch; of two places, a share needs chance.
        self.probabilistic_oversampling = settings["optimizer"] == "adamw"
        self.enable_deep_supervision = settings["deep_supervision"]

    # What is built

    def initialize(self):
        """Network, optimiser and loss, from the seed."""
        seed_everything(self.settings["seed"] + 1000 * int(self.fold) + self.local_rank)
        super().initialize()
        if self.device.type == "cpu":
            grouped(self.network)

    def _do_i_compile(self):
        """torch.compile only pays on a GPU and in long trainings."""
        return self.device.type == "cuda" and self.num_epochs >= 100 and super()._do_i_compile()

    def configure_optimizers(self):
        """nnU-Net's SGD and poly schedule, or AdamW with a warm-up for short budgets."""
        if self.is_ddp and not self.enable_deep_supervision:
            # The coarser outputs are there and lead nowhere; DDP would wait for their gradients.
            for unused in self.network.decoder.seg_layers[:-1]:
                unused.requires_grad_(False)
        if self.settings["optimizer"] == "sgd":
            return super().configure_optimizers()
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay
        )
        return optimizer, WarmUpPoly(
            optimizer, self.initial_lr, self.num_epochs, self.settings["warm_up"] * self.num_epochs
        )

    def _build_loss(self):
        weights = self.settings["class_weights"]
        loss = RootLoss(
            self.settings["own"],
            batch_dice=self.configuration_manager.batch_dice,
            ddp=self.is_ddp,
            ignored=self.label_manager.ignore_label,
            class_weights=None
            if weights is None
            else torch.tensor(weights, dtype=torch.float32, device=self.device),
            entity_weight=self.settings["entity_weight"],
            identity_weight=self.settings["identity_weight"],
            skeleton_weight=self.settings["skeleton_recall_weight"],
        )
        if not self.enable_deep_supervision:
            return loss
        scales = self._get_deep_supervision_scales()
        factors = np.array([1 / 2**level for level in range(len(scales))])
        # nnU-Net leaves out the coarsest output; DDP needs every output to be used a little.
        factors[-1] = 1e-6 if self.is_ddp and not self._do_i_compile() else 0
        return DeepSupervisionWrapper(loss, factors / factors.sum())

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        """As nnU-Net, but never a mirror: left is not right, and L1 is not S3 upside down."""
        rotation, dummy_2d, patch, _ = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        self.inference_allowed_mirroring_axes = None
        if self.settings["online_augmentation"] != "full":
            patch = np.array(self.configuration_manager.patch_size)
        return rotation, dummy_2d, patch, None

    def get_tr_and_val_datasets(self):
        """nnU-Net's data sets; a training case is named as often as it should be drawn."""
        training, validation = super().get_tr_and_val_datasets()
        if self.settings["draw_by_size"]:
            voxels = {case: training.load_case(case)[0].size for case in training.identifiers}
            patch = int(np.prod(self.configuration_manager.patch_size))
            training.identifiers = by_size(voxels, patch)
        return training, validation

    def get_training_transforms(
        self,
        patch_size,
        rotation_for_DA: RandomScalar,
        deep_supervision_scales,
        mirror_axes,
        do_dummy_2d_data_aug: bool,
        **others,
    ):
        """nnU-Net's augmentation, or less of it where the data was augmented offline already."""
        kind = self.settings["online_augmentation"]
        if kind == "light":
            return light_transforms(deep_supervision_scales)
        if kind == "none":
            return self.get_validation_transforms(deep_supervision_scales)
        return super().get_training_transforms(
            patch_size,
            rotation_for_DA,
            deep_supervision_scales,
            mirror_axes,
            do_dummy_2d_data_aug,
            **others,
        )

    # What is done

    def on_batch_start(self, epoch: float) -> None:
        """The rate of short budgets changes with every batch, nnU-Net's with every epoch."""
        if self.settings["optimizer"] == "adamw":
            self.lr_scheduler.step(epoch)

    def train_step(self, batch: dict) -> dict:
        """nnU-Net's step, with bf16 on a CPU that is built for it, and fp32 where that is asked."""
        if self.device.type == "cuda" and self.settings["precision"] == "auto":
            return super().train_step(batch)
        data = batch["data"].to(self.device)
        target = batch["target"]
        target = (
            [part.to(self.device) for part in target]
            if isinstance(target, list)
            else target.to(self.device)
        )
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            output = self.network(data)
        output = [part.float() for part in output] if isinstance(output, list) else output.float()
        loss = self.loss(output, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()
        return {"loss": loss.detach().cpu().numpy()}

    def validation_step(self, batch: dict) -> dict:
        """nnU-Net's step in the same precision as the training."""
        with self._autocast():
            return super().validation_step(batch)

    def _autocast(self):
        wanted = self.settings["precision"] == "auto" and self.device.type == "cpu"
        if wanted and cpu_computes_bf16():
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()
