"""Training with Lightning: best and last checkpoints, resuming, early stopping, MLflow."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

from spinalroots.compute.precision import resolved_precision
from spinalroots.hardnet.data.patches import Case
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.hardnet.predictor import HardnetPredictor
from spinalroots.hardnet.training.module import HardnetData, HardnetModule
from spinalroots.hardnet.training.step import Plan
from spinalroots.registry.anatomy import Target

Log = Callable[[dict[str, float], int], None]
"""Takes metrics and the epoch; MLflow's `log_metrics` fits."""


@dataclass(frozen=True)
class Trained:
    """`predictor` holds the best weights; `dice` is their validation Dice (nan without cases)."""

    predictor: HardnetPredictor
    dice: float
    epochs: int


class LogEpochs(pl.Callback):
    """Hands every epoch's metrics to `log`; Dice only after an epoch that validated."""

    def __init__(self, log: Log):
        self.receive = log

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        values["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        stale = (trainer.current_epoch + 1) % trainer.check_val_every_n_epoch != 0
        shown = {
            name: value
            for name, value in values.items()
            if math.isfinite(value) and not (stale and name.startswith("dice"))
        }
        self.receive(shown, trainer.current_epoch)


def train(
    plan: Plan,
    spec: InputSpec,
    target: Target,
    training: list[Case],
    validation: list[Case],
    folder: Path,
    *,
    name: str = "hardnet",
    log: Log | None = None,
    progress: bool = True,
) -> Trained:
    """Train, or go on with what lies in `folder`, and return the best network.

    `folder` belongs to this very plan and data (the caller hashes them into its name): checkpoints
    are only ever read from there. A finished training is not repeated.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    module = HardnetModule(plan, spec, target)
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    callbacks: list[pl.Callback] = []
    best = None
    if validation:
        best = ModelCheckpoint(
            folder, filename="best", monitor="dice", mode="max", enable_version_counter=False
        )
        callbacks += [
            best,
            EarlyStopping("dice", mode="max", patience=plan.hardnet.patience),
        ]
    callbacks.append(last)  # after `best`, whose score it stores
    if log:
        callbacks.append(LogEpochs(log))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    hardnet = plan.hardnet
    device = "cuda" if torch.cuda.is_available() and hardnet.accelerator != "cpu" else "cpu"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer = pl.Trainer(
            accelerator=hardnet.accelerator,
            devices=hardnet.devices if hardnet.devices == "auto" else int(hardnet.devices),
            precision=resolved_precision(plan.tuned.precision, device),
            max_epochs=hardnet.epochs,
            accumulate_grad_batches=plan.tuned.accumulate,
            check_val_every_n_epoch=hardnet.validate_every,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            callbacks=callbacks,
            logger=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
        )
        previous = folder / "last.ckpt"
        trainer.fit(
            module,
            datamodule=HardnetData(plan, training, validation),
            ckpt_path=previous if previous.is_file() else None,
            weights_only=False,
        )
    chosen = Path(best.best_model_path if best and best.best_model_path else previous)
    state = torch.load(chosen, map_location="cpu", weights_only=False)["state_dict"]
    module.load_state_dict(state)
    score = float(best.best_model_score) if best and best.best_model_score is not None else math.nan
    module.network.to("cpu").float().eval()
    return Trained(module.predictor(name), score, trainer.current_epoch)


def is_main_process() -> bool:
    """False in the extra processes that DDP starts."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("RANK", "0") == "0"
