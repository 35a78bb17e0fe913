"""The training: epochs, the best and the last checkpoint, going on after a kill, stopping early."""

import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from spinalroots.compute.device import peak_memory_mb
from spinalroots.files import write_bytes
from spinalroots.hardnet.data.stacks import TrainingStack
from spinalroots.hardnet.predictor import HardnetPredictor
from spinalroots.hardnet.training.plan import TrainingPlan
from spinalroots.hardnet.training.scores import predictor, validation_dice
from spinalroots.hardnet.training.step import TrainingStep, start_fabric
from spinalroots.settings.hardnet import Schedule

BEST, LAST = "best.ckpt", "last.ckpt"
"""In the training's folder. Names, not paths: the folder may move between two runs."""

Log = Callable[[dict[str, float], int], None]
"""Takes metrics and the epoch; MLflow's `log_metrics` fits."""


@dataclass(frozen=True)
class Trained:
    """`predictor` holds the best weights; `dice` is their validation Dice (None without cases);
    `seen` (classes,): voxels of each class in all patches."""

    predictor: HardnetPredictor
    dice: float | None
    epochs: int
    seen: list[int]


@dataclass
class Progress:
    """How far a training is: `waited` counts the validations since the best one."""

    epoch: int = 0
    dice: float | None = None
    waited: int = 0

    def ended(self, schedule: Schedule) -> bool:
        """Whether all epochs are done, or the Dice no longer rises."""
        return self.epoch >= schedule.epochs or self.waited >= schedule.patience

    def judge(self, dice: float) -> bool:
        """Take note of a validation; whether it is the best so far."""
        better = self.dice is None or dice > self.dice
        self.waited = 0 if better else self.waited + 1
        self.dice = dice if better else self.dice
        return better


def train(
    plan: TrainingPlan,
    schedule: Schedule,
    training: Sequence[TrainingStack],
    validation: Sequence[TrainingStack],
    folder: Path,
    *,
    name: str = "hardnet",
    device: str = "cpu",
    devices: str | int = 1,
    loader_workers: int = 0,
    log: Log | None = None,
    progress: bool = True,
) -> Trained:
    """Train, or go on with what lies in `folder`, and return the best network.

    `folder` belongs to this very plan and data (the caller hashes them into its name): checkpoints
    are only ever read from there. A finished training is not repeated. Every process returns the
    same; only the first one writes, logs and validates, and the others wait for its word.
    """
    fabric = start_fabric(plan.tuned.precision, device, devices)
    steps = plan.steps(schedule.epoch_megavoxels, fabric.world_size)
    step = TrainingStep(plan, fabric, steps * schedule.epochs)
    done = Progress()
    if state := fabric.broadcast(_read(folder / LAST)):
        step.restore(state["step"])
        done = Progress(**state["progress"])
    with tqdm(
        total=step.steps,
        initial=step.done,
        desc=name,
        unit="step",
        disable=not (progress and fabric.is_global_zero),
    ) as bar:
        while not done.ended(schedule):
            batches = step.batches(training, steps, done.epoch, loader_workers)
            figures = _epoch(step, batches, steps, bar)
            done.epoch += 1
            last = done.epoch == schedule.epochs
            if fabric.is_global_zero:
                if validation and (last or done.epoch % schedule.validate_every == 0):
                    figures |= validation_dice(step, validation)
                    if done.judge(figures["dice"]):
                        _write(folder / BEST, {"network": step.network.state_dict()})
                if log:
                    log(figures, done.epoch - 1)
                _write(folder / LAST, {"step": step.state(), "progress": vars(done)})
            done = fabric.broadcast(done)
            bar.set_postfix_str(f"loss {figures['loss']:.3f}, Dice {done.dice or 0:.3f}")
    if best := fabric.broadcast(_read(folder / BEST)):
        step.network.load_state_dict(best["network"])
    network = step.network.to("cpu").float().eval()
    return Trained(predictor(plan, network, name), done.dice, done.epoch, step.seen.tolist())


def _epoch(step: TrainingStep, batches: Iterator, steps: int, bar: tqdm) -> dict[str, float]:
    """Take an epoch's steps; mean figures, and what it cost."""
    began = time.perf_counter()
    sums: dict[str, torch.Tensor | float] = defaultdict(float)
    for _ in range(steps):
        learning_rate = step.learning_rate
        for name, value in step(batches).items():
            sums[name] += value / steps
        bar.update()
    seconds = time.perf_counter() - began
    voxels = steps * step.plan.step_patches(step.fabric.world_size) * step.plan.shape.voxels
    return {
        **{name: float(value) for name, value in sums.items()},
        "learning_rate": learning_rate,
        "megavoxels_per_s": voxels / seconds / 1e6,
        "peak_memory_mb": peak_memory_mb(),
    }


def _write(path: Path, state: dict) -> None:
    stream = io.BytesIO()
    torch.save(state, stream)
    write_bytes(path, stream.getvalue())


def _read(path: Path) -> dict | None:
    """Tensors and plain values only: nothing in a checkpoint can run. None if there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
