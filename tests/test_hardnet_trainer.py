"""Training: killed and resumed it ends as if nothing had happened; accumulation is a big batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spinalroots.errors import InputError
from spinalroots.hardnet.data.patches import Case
from spinalroots.hardnet.data.straighten import InputSpec, Stack
from spinalroots.hardnet.training.short import mean_dice, short_training
from spinalroots.hardnet.training.step import Plan, build
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import Target
from spinalroots.settings.hardnet import Tunable

ROOT = Path(__file__).parents[1]
TARGET = Target.of("levels", "sacral")
SPEC = InputSpec(16.0, 1.0)


def case(seed: int) -> Case:
    """Dark threads in a bright sac; the level changes along the axis."""
    rng = np.random.default_rng(seed)
    image = np.ones((16, 16, 24), np.float32) + 0.05 * rng.standard_normal((16, 16, 24))
    classes = np.zeros(image.shape, np.uint8)
    for level, slices in enumerate((slice(16, 24), slice(8, 16), slice(0, 8)), start=1):
        for x in (4, 11):
            classes[x : x + 2, 6 : 6 + 2, slices] = level
    image[classes > 0] = 0.2
    heights = np.linspace(-1, 1, 24, dtype=np.float32)
    return Case(f"case{seed}", Stack(image.astype(np.float32), heights), classes)


def plan(**changes) -> Plan:
    values = {
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
    values.update({key: changes.pop(key) for key in list(changes) if key in values})
    hardnet = params.load(ROOT / "params.yaml", scale="smoke").hardnet.model_copy(
        update={
            "dim": 2,
            "preset": "tiny",
            "epochs": 3,
            "epoch_megavoxels": 0.008,
            "validate_every": 1,
            "accelerator": "cpu",
            "devices": "1",
            "augmentation": "none",
            "overlap": 0.5,
            **changes,
        }
    )
    return Plan(hardnet, Tunable(**values), len(TARGET.class_names), seed=1)


def run(folder: Path, log=None, **changes):
    from spinalroots.hardnet.training.trainer import train

    cases = [case(seed) for seed in range(3)]
    return train(
        plan(**changes), SPEC, TARGET, cases[:2], cases[2:], folder, log=log, progress=False
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
    *_, (_, _, network) = short_training(settings, [case(0), case(1)], 60)
    scores = mean_dice(network, settings, SPEC, TARGET, [case(9)])
    assert scores[0] > 0.8


def test_a_patch_that_does_not_fit_the_network_is_refused():
    with pytest.raises(InputError, match=r"hardnet.patch_vox: expected a multiple of 8"):
        build(plan(patch_vox=20))


def test_accumulation_takes_the_steps_of_the_same_voxels():
    assert plan(batch=4, accumulate=2).steps * 2 == plan(batch=4).steps
    assert plan(batch=2, accumulate=2).samples == plan(batch=4).samples
