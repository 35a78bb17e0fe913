"""HarDNet as Lightning sees it: the step, the optimizer, Dice on whole validation cases."""

from __future__ import annotations

import time

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader

from spinalroots.compute.memory import peak_memory_mb
from spinalroots.hardnet.data.patches import Case
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.hardnet.predictor import HardnetPredictor, input_shape
from spinalroots.hardnet.training.scores import stack_dice
from spinalroots.hardnet.training.step import (
    LARGEST_GRADIENT,
    Plan,
    batch_loss,
    build,
    optimizer,
    rate,
)
from spinalroots.registry.anatomy import Target


class HardnetData(pl.LightningDataModule):
    """Patches for training; for validation the cases themselves, whole.

    Lightning reloads the training patches every epoch, so that each epoch has its own; the epoch is
    counted in optimizer steps, which a resumed training knows exactly.
    """

    def __init__(self, plan: Plan, training: list[Case], validation: list[Case]):
        super().__init__()
        self.plan, self.training, self.validation = plan, training, validation

    def train_dataloader(self) -> DataLoader:
        """The patches of the epoch that is about to run."""
        epoch = self.trainer.global_step // self.plan.steps
        patches = self.plan.patches(self.training, self.plan.samples, epoch)
        workers = self.plan.hardnet.loader_workers
        return DataLoader(patches, self.plan.tuned.batch, num_workers=workers)

    def val_dataloader(self) -> DataLoader:
        """Numbers of the validation cases, one at a time."""
        return DataLoader(range(len(self.validation)), batch_size=None)


class HardnetModule(pl.LightningModule):
    """Trains the network of `plan`; logs loss terms, Dice, throughput and peak memory."""

    def __init__(self, plan: Plan, spec: InputSpec, target: Target):
        super().__init__()
        self.plan, self.spec, self.target = plan, spec, target
        self.network = build(plan)
        self.weights = plan.loss_weights
        self._scores: list[np.ndarray] = []
        self._began = 0.0

    def predictor(self, name: str = "hardnet") -> HardnetPredictor:
        """The network as it is now, with all that inference needs."""
        return HardnetPredictor(
            name,
            self.target,
            self.network,
            input_shape(self.plan.config, self.spec, self.plan.tuned.patch_slices),
            self.spec,
        )

    def configure_optimizers(self) -> dict:
        """AdamW, linear warm-up, cosine, stepped with every optimizer step."""
        hardnet, tuned = self.plan.hardnet, self.plan.tuned
        precision = self.trainer.precision
        chosen = optimizer(self.network, tuned.learning_rate, hardnet.weight_decay, precision)
        steps = hardnet.epochs * self.plan.steps
        schedule = torch.optim.lr_scheduler.LambdaLR(
            chosen, lambda step: rate(step, steps, hardnet.warm_up)
        )
        return {
            "optimizer": chosen,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Shorten the gradients; Lightning's own clipping refuses fused optimizers."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)

    def on_train_epoch_start(self) -> None:
        """Start the clock for the throughput."""
        self._began = time.perf_counter()

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """Loss of one batch."""
        loss, terms = batch_loss(self.network, batch, self.weights, self.plan.tuned.channels_last)
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        for name, value in terms.items():
            self.log(f"loss_{name}", value, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log what the epoch cost."""
        seconds = time.perf_counter() - self._began
        voxels = self.plan.samples * self.plan.shape.voxels
        self.log("megavoxels_per_s", voxels / seconds / 1e6, rank_zero_only=True)
        self.log("peak_memory_mb", peak_memory_mb(), rank_zero_only=True)

    def validation_step(self, number: int, index: int) -> None:
        """Dice of one whole case: binary, then each level."""
        case = self.trainer.datamodule.validation[int(number)]
        chances = self.predictor().stack_probabilities(case.stack, self._run)
        self._scores.append(stack_dice(chances, case.classes, self.target, "entity_first"))

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice over the validation cases, `nan` where no case has the level."""
        scores = torch.as_tensor(np.array(self._scores), device=self.device, dtype=torch.float32)
        self._scores.clear()
        scores = self.all_gather(scores).reshape(-1, scores.shape[-1])
        means = scores.nanmean(dim=0)
        self.log("dice", means[0].nan_to_num(), prog_bar=True, rank_zero_only=True)
        levels = means[1:]
        self.log("dice_levels", levels.nanmean().nan_to_num(), rank_zero_only=True)
        for name, value in zip(self.target.names, levels, strict=True):
            self.log(f"dice_{name}", value, rank_zero_only=True)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
