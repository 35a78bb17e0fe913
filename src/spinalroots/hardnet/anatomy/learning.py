"""The trainings: a fixed number of steps on samples drawn anew for each, and an average of the
weights on the way. Same slices, settings and seed on the same machine: the same network."""

import copy
import io
import math
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from spinalroots.compute.device import resolved_precision
from spinalroots.files import write_bytes
from spinalroots.hardnet.anatomy.augmentation import naming_batch, tissue_batch
from spinalroots.hardnet.anatomy.losses import naming_loss, tissue_loss
from spinalroots.hardnet.anatomy.network import naming_network, tissue_network
from spinalroots.hardnet.anatomy.sampling import Samples, Slices, draw_rows, take
from spinalroots.settings.anatomy import Anatomy

PARTS = ("tissues", "names")
"""The two networks, each trained by itself from the same slices."""
OFTEN = 50
"""Steps between two states on disk, and of a point of the curve."""


class Training:
    """Network, optimizer, average and random numbers of one part; `curve`: mean loss every `OFTEN`
    steps."""

    def __init__(self, part: str, settings: Anatomy, seed: int, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.part, self.settings, self.device = part, settings, device
        if part == "tissues":
            self.steps, self.batch, self.limits = settings.steps, settings.batch, settings.limits
            self.neighbours = settings.neighbours
            self.learning_rate = settings.learning_rate
        else:
            self.steps, self.batch = settings.naming_steps, settings.naming_batch
            self.neighbours = settings.naming_neighbours
            self.limits, self.learning_rate = settings.naming_limits, settings.naming_learning_rate
        self.rows, self.generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        network = tissue_network(settings) if part == "tissues" else naming_network(settings)
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.averaged = copy.deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        precision = resolved_precision(settings.precision, device)
        self.half = torch.bfloat16 if precision == "bf16-mixed" else None
        self.done, self.curve, self._sum = 0, list[float](), 0.0

    def step(self, slices: Slices) -> None:
        """Take one step."""
        own = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * schedule(self.done / self.steps, own.warm_up)
        rows = draw_rows(slices, self.batch, self.neighbours, self.limits.stretch_log, self.rows)
        with torch.autocast(self.device, self.half, enabled=self.half is not None):
            loss = self._loss(take(slices, rows))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), own.largest_gradient)
        self.optimizer.step()
        # Follows closely at first: early weights are worth nothing in the average.
        kept = min(own.average, (self.done + 1) / (self.done + 10))
        move_average(self.averaged, self.network, kept)
        self.done += 1
        self._sum += loss.item()
        if self.done % OFTEN == 0:
            self.curve.append(self._sum / OFTEN)
            self._sum = 0.0

    def _loss(self, samples: Samples) -> torch.Tensor:
        if self.part == "tissues":
            image, classes = tissue_batch(samples, self.settings, self.generator)
            return tissue_loss(self.network(_laid_out(image, self.device)), classes.to(self.device))
        maps, codes, names = naming_batch(samples, self.settings, self.generator)
        maps, codes = _laid_out(maps, self.device), codes.to(self.device)
        return naming_loss(self.network, maps, codes, names.to(self.device))

    def write(self, path: Path) -> None:
        """Everything that a step depends on, as tensors and plain values."""
        stream = io.BytesIO()
        state = {name: getattr(self, name).state_dict() for name in _MODULES}
        state |= {name: getattr(self, name) for name in _VALUES}
        state |= {"rows": self.rows.bit_generator.state, "draws": self.generator.get_state()}
        torch.save(state, stream)
        write_bytes(path, stream.getvalue())

    def read(self, path: Path) -> None:
        """Go on from what :meth:`write` wrote; nothing is unpickled but tensors and numbers."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name in _MODULES:
            getattr(self, name).load_state_dict(state[name])
        for name in _VALUES:
            setattr(self, name, state[name])
        self.rows.bit_generator.state = state["rows"]
        self.generator.set_state(state["draws"].cpu())


_MODULES, _VALUES = ("network", "averaged", "optimizer"), ("done", "curve", "_sum")


def train(
    part: str,
    slices: Slices,
    settings: Anatomy,
    seed: int,
    folder: Path | None = None,
    *,
    device: str = "cpu",
) -> tuple[torch.nn.Module, list[float]]:
    """The averaged network of one of `PARTS`, in eval mode on the CPU, and its curve.

    :param folder: of this very training; one that was killed goes on from what it left there.
    """
    training = Training(part, settings, seed, device)
    state = folder / f"{part}.ckpt" if folder else None
    if state and state.is_file():
        training.read(state)
    with tqdm(
        total=training.steps,
        initial=training.done,
        desc=part,
        unit="step",
        position=1 + PARTS.index(part),  # a line of its own: both train at once
        mininterval=2,
        disable=False,
    ) as bar:
        while training.done < training.steps:
            training.step(slices)
            bar.update()
            if state and training.done % OFTEN == 0:
                training.write(state)
                bar.set_postfix_str(f"loss {training.curve[-1]:.3f}")
    return training.averaged.to("cpu").eval(), training.curve


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
    means, values = (
        [one for one in of.state_dict().values() if one.dtype.is_floating_point]
        for of in (averaged, network)
    )
    get_ema_multi_avg_fn(keep)(means, values, None)


def _laid_out(values: torch.Tensor, device: str) -> torch.Tensor:
    return values.to(device).contiguous(memory_format=torch.channels_last)
