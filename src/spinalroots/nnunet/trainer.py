"""The trainer: nnU-Net's own, with our losses, our budgets, and a kill that costs a minute.

Settings travel in the plans under the key `spinalroots`, because nnU-Net rebuilds a trainer from
plans, configuration, fold and data set description alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from batchgeneratorsv2.helpers.scalar_type import RandomScalar
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule
from tqdm import tqdm

from spinalroots.compute.precision import cpu_computes_bf16
from spinalroots.nnunet.augmentation import light_transforms
from spinalroots.nnunet.logger import RUN_ID, MlflowLogger
from spinalroots.nnunet.losses import RootLoss
from spinalroots.nnunet.randomness import random_state, seed_everything, set_random_state

SETTINGS = "spinalroots"
"""Key of the plans: the parameters `nnunet.training`, `seed`, `own`, `class_weights`, `name`."""

CHECKPOINT, FINAL = "checkpoint_latest.pth", "checkpoint_final.pth"
"""nnU-Net's own file names, so that it finds them when it starts a process for each GPU."""

CHECKPOINT_EVERY_S = 45.0


class SpinalrootsTrainer(nnUNetTrainer):
    """nnU-Net's training without mirroring, by our parameters, resumable after any batch."""

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ):
        self.settings = settings = plans[SETTINGS]
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr = settings["learning_rate"]
        self.weight_decay = settings["weight_decay"]
        self.num_epochs = settings["epochs"]
        self.num_iterations_per_epoch = settings["iterations"]
        self.num_val_iterations_per_epoch = settings["validation_iterations"]
        self.oversample_foreground_percent = settings["foreground_share"]
        # nnU-Net reserves whole places of the batch; of two places, a share needs chance.
        self.probabilistic_oversampling = settings["optimizer"] == "adamw"
        self.enable_deep_supervision = settings["deep_supervision"]
        self.batch_done, self.batch_losses = 0, []
        self.last_checkpoint = time.monotonic()
        self.tracker = None
        if self.local_rank == 0 and (run_id := os.environ.get(RUN_ID)):
            prefix = f"fold_{fold}/" if settings["folds"] > 1 else ""
            self.tracker = MlflowLogger(run_id, prefix)
            self.logger.loggers.append(self.tracker)

    # What is built

    def initialize(self):
        """Network, optimiser and loss, from the seed."""
        seed_everything(self.settings["seed"] + 1000 * int(self.fold) + self.local_rank)
        super().initialize()

    def _do_i_compile(self):
        """torch.compile only pays on a GPU and in long trainings."""
        return self.device.type == "cuda" and self.num_epochs >= 100 and super()._do_i_compile()

    def configure_optimizers(self):
        """nnU-Net's SGD and poly schedule, or AdamW with a warm-up for short budgets."""
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

    def run_training(self):
        """nnU-Net's loop, which can start and be left between any two batches."""
        self.on_train_start()
        if self.resumed_random_state and not self.is_ddp:
            set_random_state(self.resumed_random_state)
        total = self.num_epochs * self.num_iterations_per_epoch
        with self._bar(total) as bar:
            while self.current_epoch < self.num_epochs:
                self._train_epoch(bar)
                with torch.no_grad():
                    self.on_validation_epoch_start()
                    outputs = [
                        self.validation_step(next(self.dataloader_val))
                        for _ in range(self.num_val_iterations_per_epoch)
                    ]
                    self.on_validation_epoch_end(outputs)
                self.on_epoch_end()
                bar.set_postfix_str(self._state())
        self.on_train_end()

    def _train_epoch(self, bar) -> None:
        if self.batch_done == 0:
            self.on_epoch_start()
            self.on_train_epoch_start()
        else:
            self.network.train()
        while self.batch_done < self.num_iterations_per_epoch:
            if self.settings["optimizer"] == "adamw":
                share = self.batch_done / self.num_iterations_per_epoch
                self.lr_scheduler.step(self.current_epoch + share)
            output = self.train_step(next(self.dataloader_train))
            self.batch_losses.append(float(output["loss"]))
            self.batch_done += 1
            bar.update()
            if (
                time.monotonic() - self.last_checkpoint > CHECKPOINT_EVERY_S
                and self.batch_done < self.num_iterations_per_epoch
            ):
                self.save_checkpoint(self.checkpoint_file)
        self.on_train_epoch_end([{"loss": np.float32(loss)} for loss in self.batch_losses])
        self.batch_done, self.batch_losses = 0, []

    def train_step(self, batch: dict) -> dict:
        """nnU-Net's step, with bf16 on a CPU that is built for it."""
        if self.device.type == "cuda":
            if self.settings["precision"] == "auto":
                return super().train_step(batch)
            with torch.autocast("cuda", enabled=False):
                return self._plain_step(batch)
        return self._plain_step(batch)

    def _plain_step(self, batch: dict) -> dict:
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

    def on_validation_epoch_end(self, val_outputs):
        """As nnU-Net; a class that no validation patch holds has no Dice, which is no accident."""
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice")
            super().on_validation_epoch_end(val_outputs)

    def _autocast(self):
        wanted = self.settings["precision"] == "auto" and self.device.type == "cpu"
        if wanted and cpu_computes_bf16():
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()

    def on_epoch_end(self):
        """Close the epoch: checkpoint first, then the curves, so that neither can get ahead."""
        self.logger.log("epoch_end_timestamps", time.time(), self.current_epoch)
        self.current_epoch += 1
        self.save_checkpoint(self.checkpoint_file)
        if self.tracker:
            self.tracker.flush(self.current_epoch)

    def on_train_end(self):
        """Stop the augmenters; the last epoch's checkpoint becomes the final one."""
        if self.local_rank == 0:
            os.replace(self.checkpoint_file, Path(self.output_folder) / FINAL)
        self.disable_checkpointing = True
        super().on_train_end()

    def perform_actual_validation(self, save_probabilities: bool = False):
        """Left out: test cases are predicted and evaluated by stages of their own."""

    # What survives a kill

    @property
    def checkpoint_file(self) -> str:
        """The one checkpoint; it is only ever replaced whole."""
        return str(Path(self.output_folder) / CHECKPOINT)

    resumed_random_state: dict | None = None

    def save_checkpoint(self, filename: str) -> None:
        """Everything that decides how the training goes on, as tensors and plain values."""
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        scaler = self.grad_scaler.state_dict() if self.grad_scaler is not None else None
        checkpoint = {
            "network": self._bare_network().state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler,
            "curves": _plain(self.logger.get_checkpoint()),
            "epoch": self.current_epoch,
            "batch_done": self.batch_done,
            "batch_losses": list(self.batch_losses),
            "random": random_state(),
        }
        temporary = f"{filename}.part"
        torch.save(checkpoint, temporary)
        os.replace(temporary, filename)
        self.last_checkpoint = time.monotonic()

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Go on from a checkpoint; it holds no objects, so nothing in it can run."""
        if not self.was_initialized:
            self.initialize()
        checkpoint = torch.load(filename_or_checkpoint, self.device, weights_only=True)
        self._bare_network().load_state_dict(checkpoint["network"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        if self.grad_scaler is not None and checkpoint["scaler"] is not None:
            self.grad_scaler.load_state_dict(checkpoint["scaler"])
        self.logger.load_checkpoint(checkpoint["curves"])
        self.current_epoch = checkpoint["epoch"]
        self.batch_done = checkpoint["batch_done"]
        self.batch_losses = checkpoint["batch_losses"]
        self.resumed_random_state = checkpoint["random"]
        if self.tracker:
            self.tracker.replay(checkpoint["curves"])
            self.tracker.flush(self.current_epoch)

    def _bare_network(self) -> torch.nn.Module:
        network = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    # What is shown

    def print_to_log_file(self, *args, also_print_to_console=True, add_timestamp=True):
        """Into nnU-Net's log file only: the console has the progress bar."""
        super().print_to_log_file(*args, also_print_to_console=False, add_timestamp=add_timestamp)

    def plot_network_architecture(self):
        """Left out: it needs a package that nobody has."""

    def _bar(self, total: int) -> tqdm:
        done = self.current_epoch * self.num_iterations_per_epoch + self.batch_done
        name = self.settings["name"]
        return tqdm(
            total=total, initial=done, desc=name, unit="batch", disable=self.local_rank != 0
        )

    def _state(self) -> str:
        loss = self.logger.get_value("train_losses", step=-1)
        dice = self.logger.get_value("mean_fg_dice", step=-1)
        return f"epoch {self.current_epoch}, loss {loss:.3f}, class Dice {dice:.3f}"


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


def by_size(voxels: dict[str, int], patch_voxels: int) -> list[str]:
    """Cases, each named as often as patches fit into it, at least once.

    >>> by_size({"scan": 900, "crop": 120}, 300)
    ['scan', 'scan', 'scan', 'crop']
    """
    return [
        case for case, size in voxels.items() for _ in range(max(1, round(size / patch_voxels)))
    ]


def _plain(value):
    """nnU-Net's curves without numpy's types."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value
