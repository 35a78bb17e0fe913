"""Training: killed and resumed it ends as if nothing had happened; accumulation is a big batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spinalroots.errors import InputError
from spinalroots.hardnet.data.stacks import TrainingStack
from spinalroots.hardnet.training.plan import TrainingPlan, build
from spinalroots.hardnet.training.scores import validation_dice
from spinalroots.hardnet.training.step import TrainingStep, start_fabric
from spinalroots.hardnet.training.trainer import train
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import Target
from spinalroots.settings.hardnet import Recipe, Schedule, Tunable

ROOT = Path(__file__).parents[1]
TARGET = Target.of("levels", "sacral")


def stack(seed: int) -> TrainingStack:
    """Dark threads in a bright sac; the level changes along the axis."""
    rng = np.random.default_rng(seed)
    image = np.ones((16, 16, 24), np.float32) + 0.05 * rng.standard_normal((16, 16, 24))
    classes = np.zeros(image.shape, np.uint8)
    for level, slices in enumerate((slice(16, 24), slice(8, 16), slice(0, 8)), start=1):
        for x in (4, 11):
            classes[x : x + 2, 6 : 6 + 2, slices] = level
    image[classes > 0] = 0.2
    heights = np.linspace(-1, 1, 24, dtype=np.float32)
    return TrainingStack(image.astype(np.float32), heights, classes, f"case{seed}")


TUNED = {
    "patch_vox": 16,
    "patch_slices": 8,
    "neighbours": 2,
    "batch": 4,
    "accumulate": 1,
    "precision": "32",
    "channels_last": False,
    "checkpointing": False,
    "width": 0.5,
    "learning_rate": 0.02,
}
LENGTH = {"epochs": 3, "epoch_megavoxels": 0.008, "patience": 10, "validate_every": 1}


def plan(**changes) -> TrainingPlan:
    recipe = params.load(ROOT / "params.yaml", scale="smoke").hardnet.recipe.model_dump()
    recipe |= {"dim": 2, "preset": "tiny", "augmentation": "none"}
    recipe |= {"square_mm": 16.0, "voxel_mm": 1.0, "slice_mm": None}
    return TrainingPlan(
        Recipe(**{name: changes.get(name, value) for name, value in recipe.items()}),
        Tunable(**{name: changes.get(name, value) for name, value in TUNED.items()}),
        TARGET,
        seed=1,
    )


def run(folder: Path, log=None, validation: int = 1, devices: int = 1, **changes):
    length = Schedule(**{name: changes.get(name, value) for name, value in LENGTH.items()})
    return train(
        plan(**changes),
        length,
        [stack(0), stack(1)],
        [stack(2 + number) for number in range(validation)],
        folder,
        devices=devices,
        log=log,
        progress=False,
    )


def die_in_the_second_epoch(metrics: dict, epoch: int) -> None:
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def weights(trained) -> list[torch.Tensor]:
    return list(trained.predictor.network.state_dict().values())


@pytest.fixture
def one_thread():
    """Sums are rounded alike in every process only when they run in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_training_killed_and_resumed_equals_an_undisturbed_one(tmp_path, one_thread):
    code = (
        "import sys, pathlib, torch; torch.set_num_threads(1); sys.path.insert(0, sys.argv[1]); "
        "import test_hardnet_trainer as t; "
        "t.run(pathlib.Path(sys.argv[2]), t.die_in_the_second_epoch)"
    )
    folder = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)], capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert (folder / "last.ckpt").is_file()
    epochs: list[int] = []
    resumed = run(folder, lambda metrics, epoch: epochs.append(epoch))
    undisturbed = run(tmp_path / "whole")
    assert epochs[0] > 0
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == 2
    assert resumed.dice == pytest.approx(undisturbed.dice)
    assert all(
        torch.allclose(one.float(), two.float(), atol=1e-6)
        for one, two in zip(weights(resumed), weights(undisturbed), strict=True)
    )
    again: list[int] = []
    repeated = run(folder, lambda metrics, epoch: again.append(epoch))
    assert again == []
    assert repeated.dice == pytest.approx(resumed.dice)


def test_early_stopping_ends_a_training_that_no_longer_improves(tmp_path):
    trained = run(tmp_path, epochs=30, patience=1, learning_rate=1e-9)
    assert trained.epochs < 30


def test_what_is_logged_has_losses_dice_of_every_level_throughput_and_memory(tmp_path):
    logged: dict[str, float] = {}
    run(tmp_path, lambda metrics, epoch: logged.update(metrics))
    wanted = {"loss", "loss_dice", "loss_cross_entropy", "loss_entity", "dice", "megavoxels_per_s"}
    wanted |= {"peak_memory_mb", "learning_rate", *(f"dice_{name}" for name in TARGET.names)}
    assert wanted <= set(logged)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_short_training_learns_the_roots_of_an_unseen_case(dim):
    settings = plan(dim=dim, batch={2: 8, 3: 2}[dim], learning_rate=0.03, level_weight=0.0)
    step = TrainingStep(settings, start_fabric("32", "cpu"), 60)
    batches = step.batches([stack(0), stack(1)], 60, epoch=0)
    while step.done < 60:
        step(batches)
    assert validation_dice(step, [stack(9)])["dice"] > 0.8


def test_a_patch_that_does_not_fit_the_network_is_refused():
    with pytest.raises(InputError, match=r"hardnet.patch_vox: expected a multiple of 8"):
        build(plan(patch_vox=20))


def test_accumulation_and_processes_take_the_steps_of_the_same_voxels():
    megavoxels = 32 * 4 * 16 * 16 / 1e6
    steps = plan(batch=4).steps(megavoxels)
    assert plan(batch=4, accumulate=2).steps(megavoxels) * 2 == steps
    assert plan(batch=4).steps(megavoxels, processes=2) * 2 == steps
    assert plan(batch=2, accumulate=2).steps(megavoxels) == steps


@pytest.mark.parametrize(
    ("epochs", "validate_every", "cases"), [(1, 5, 1), (3, 2, 1), (2, 1, 0), (1, 5, 0)]
)
def test_every_training_ends_with_a_network_and_the_last_epoch_is_validated(
    epochs, validate_every, cases, tmp_path
):
    validated: list[int] = []

    def log(metrics: dict, epoch: int) -> None:
        validated.extend([epoch] if "dice" in metrics else [])

    trained = run(tmp_path, log, validation=cases, epochs=epochs, validate_every=validate_every)
    assert trained.epochs == epochs
    assert (trained.dice is None) == (cases == 0)
    assert validated[-1:] == ([epochs - 1] if cases else [])


def test_a_training_whose_folder_has_moved_still_knows_its_best_weights(tmp_path):
    first = run(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    again = run(tmp_path / "there")
    assert again.dice == first.dice
    assert all(torch.equal(*pair) for pair in zip(weights(first), weights(again), strict=True))


def test_a_moved_training_that_only_gets_worse_publishes_its_old_best(tmp_path):
    def stop(metrics: dict, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "here", stop, epochs=6)
    best = torch.load(tmp_path / "here" / "best.ckpt", weights_only=True)["network"]
    last = torch.load(tmp_path / "here" / "last.ckpt", weights_only=True)
    last["progress"]["dice"] = 2.0  # nothing that comes is better
    torch.save(last, tmp_path / "here" / "last.ckpt")
    (tmp_path / "here").rename(tmp_path / "there")
    trained = run(tmp_path / "there", epochs=6)
    assert trained.epochs == 6
    assert all(
        torch.equal(one, two) for one, two in zip(weights(trained), best.values(), strict=True)
    )


def test_half_precision_never_trains_without_scaled_gradients():
    for wanted in ("auto", "32", "bf16-mixed", "16-mixed"):
        precision = start_fabric(wanted, "cpu").strategy.precision
        assert precision.precision != "16-mixed" or precision.scaler is not None


TWO_PROCESSES = """
import json, os, pathlib, sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_hardnet_trainer as t
from spinalroots.hardnet.data.patches import Patches
drawn, rates = [], []
draw, step = Patches.__getitem__, t.TrainingStep.__call__
def listening(self, index):
    drawn.append((self.epoch, index))
    return draw(self, index)
def rated(self, batches):
    rates.append(self.learning_rate)
    return step(self, batches)
Patches.__getitem__, t.TrainingStep.__call__ = listening, rated
folder = pathlib.Path(sys.argv[2])
trained = t.run(folder, devices=2, epochs=2, epoch_megavoxels=0.032)
told = {"drawn": drawn, "rates": rates, "dice": trained.dice,
        "weights": [float(one.double().sum()) for one in t.weights(trained)]}
(folder / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(told))
"""


def test_two_processes_share_an_epoch_and_end_with_the_same_network(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    one, two = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    steps = plan().steps(0.032, processes=2)
    shares = [set(map(tuple, told["drawn"])) for told in (one, two)]
    assert not shares[0] & shares[1]
    assert len(shares[0]) == len(shares[1])
    expected = {(epoch, index) for epoch in range(2) for index in range(steps * 4 * 2)}
    assert shares[0] | shares[1] == expected
    assert one["rates"] == two["rates"]
    assert len(one["rates"]) == 2 * steps
    assert one["rates"][-1] < 0.05 * max(one["rates"])
    assert (one["weights"], one["dice"]) == (two["weights"], two["dice"])
