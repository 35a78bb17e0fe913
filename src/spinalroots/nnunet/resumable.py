"""nnU-Net's training loop, so that a kill costs less than a minute and changes nothing.

A checkpoint is written after every epoch and every 45 seconds within one, whole or not at all,
with the state of the random generators; training goes on from any batch. The curves reach MLflow
after the checkpoint that holds them.
"""

import contextlib
import io
import os
import random
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule
from tqdm import tqdm

from spinalroots.nnunet.logger import RUN_ID, MlflowLogger

SETTINGS = "spinalroots"
"""Key of the plans under which a training's settings travel: nnU-Net rebuilds a trainer from plans,
configuration, fold and data set description alone. See :attr:`spinalroots.nnunet.job.Job.settings`.
"""

CHECKPOINT, FINAL = "checkpoint_latest.pth", "checkpoint_final.pth"
"""nnU-Net's own file names, so that it finds them when it starts a process for each GPU."""

CHECKPOINT_EVERY_S = 45.0


class ResumableTrainer(nnUNetTrainer):
    """nnU-Net's trainer, which can start and be left between any two batches."""

    resumed_random_state: dict | None = None

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ):
        self.settings = plans[SETTINGS]
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(plans, configuration, fold, dataset_json, device)
        self.batch_done = 0
        self.batch_losses: list[float] = []
        self.last_checkpoint = time.monotonic()
        self.tracker = None
        if self.local_rank == 0 and (run_id := os.environ.get(RUN_ID)):
            prefix = f"fold_{fold}/" if self.settings["folds"] > 1 else ""
            self.tracker = MlflowLogger(run_id, prefix)
            self.logger.loggers.append(self.tracker)
        self.take_settings()

    def take_settings(self) -> None:
        """Called when all of nnU-Net's own values are set, before anything is built."""

    # The loop

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

    def on_batch_start(self, epoch: float) -> None:
        """Called before every batch; `epoch` with the share of it that is done."""

    def _train_epoch(self, bar) -> None:
        if self.batch_done == 0:
            self.on_epoch_start()
            self.on_train_epoch_start()
        else:
            self.network.train()
        while self.batch_done < self.num_iterations_per_epoch:
            share = self.batch_done / self.num_iterations_per_epoch
            self.on_batch_start(self.current_epoch + share)
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

    def on_validation_epoch_end(self, val_outputs):
        """As nnU-Net; a class that no validation patch holds has no Dice, which is no accident."""
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice")
            super().on_validation_epoch_end(val_outputs)

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


def _plain(value):
    """nnU-Net's curves without numpy's types."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators, which nnU-Net draws from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict:
    """State of the three global generators, in plain values and tensors."""
    version, internal, gauss = random.getstate()
    drawn = np.random.get_state(legacy=False)
    keys = torch.from_numpy(drawn["state"]["key"].astype(np.int64))
    return {
        "python": [version, list(internal), gauss],
        "numpy": {**drawn, "state": {**drawn["state"], "key": keys}},
        "torch": torch.get_rng_state(),
    }


def set_random_state(state: dict) -> None:
    """Inverse of :func:`random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    drawn = state["numpy"]
    keys = drawn["state"]["key"].cpu().numpy().astype(np.uint32)
    np.random.set_state({**drawn, "state": {**drawn["state"], "key": keys}})
    torch.set_rng_state(state["torch"].cpu())
