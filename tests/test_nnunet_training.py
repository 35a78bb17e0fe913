"""Training: the same after a kill as without one, and curves without gap or double."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import yaml
from nnunet_case import tiny, write_inputs
from safetensors.torch import load_file

from spinalroots.files import read_json
from spinalroots.nnunet import environment
from spinalroots.nnunet.job import Job
from spinalroots.nnunet.resumable import (
    SETTINGS,
    random_state,
    seed_everything,
    set_random_state,
)
from spinalroots.nnunet.trainer import SpinalrootsTrainer, WarmUpPoly, by_size
from spinalroots.nnunet.training import working_folder
from spinalroots.pipeline import provenance
from spinalroots.registry import paths
from spinalroots.registry.models import nnunet_row
from spinalroots.stages import prepare_nnunet, train_nnunet

ROW = "all-levels"
MODEL = paths.TRAINED / f"nnunet-{ROW}"


@pytest.fixture
def project(tmp_path, monkeypatch, smoke_params):
    """A project in a temporary folder, prepared for the row; returns its parameters."""
    write_inputs(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    params = tiny(smoke_params)
    prepare_nnunet.main(params, ROW)
    return params


def stop_after(batches: int, monkeypatch) -> None:
    """Make the training raise after so many batches, each with a checkpoint of its own."""
    step = SpinalrootsTrainer.train_step
    done = iter(range(batches))

    def counted(self, batch):
        if next(done, None) is None:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(SpinalrootsTrainer, "train_step", counted)
    monkeypatch.setattr("spinalroots.nnunet.resumable.CHECKPOINT_EVERY_S", -1.0)


def job(params) -> Job:
    return Job.read(paths.NNUNET / ROW, nnunet_row(ROW), params.nnunet.training, params.seed)


def in_a_process_of_its_own(params, folder: Path) -> list[str]:
    """The command that trains the row there."""
    effective = yaml.safe_dump(params.model_dump(mode="json"))
    (folder / "effective.yaml").write_text(effective, encoding="utf-8")
    code = (
        "import yaml; from spinalroots.pipeline.params import Params; "
        "from spinalroots.stages import train_nnunet; "
        "train_nnunet.main(Params.model_validate(yaml.safe_load(open("
        f"'effective.yaml'))), '{ROW}')"
    )
    return [sys.executable, "-c", code]


def runs() -> list:
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


def curve(run, name: str) -> list[tuple[int, float]]:
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(entry.step, entry.value) for entry in history]


def test_stopped_in_the_middle_of_an_epoch_and_resumed_gives_the_same_weights(
    project, tmp_path, monkeypatch
):
    train_nnunet.main(project, ROW)
    whole = load_file(MODEL / "model.safetensors")
    uninterrupted = read_json(MODEL / "training.json")["folds"]
    (tmp_path / ".cache").rename(tmp_path / "elsewhere")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(KeyboardInterrupt):
            train_nnunet.main(project, ROW)
    train_nnunet.main(project, ROW)
    resumed = load_file(MODEL / "model.safetensors")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert read_json(MODEL / "training.json")["folds"] == uninterrupted

    first, second = sorted(runs(), key=lambda run: run.info.start_time)
    for run in (first, second):
        assert run.info.status == "FINISHED"
        assert [step for step, _ in curve(run, "train_losses")] == [0, 1]
    assert curve(first, "train_losses") == curve(second, "train_losses")
    assert second.data.metrics["energy_kwh"] > 0
    assert second.data.tags["model"] == f"nnunet-{ROW}"


def test_a_row_ends_in_the_same_weights_alone_and_after_another(project, tmp_path):
    other = "all-individuals"
    prepare_nnunet.main(project, other)
    train_nnunet.main(project, other)
    train_nnunet.main(project, ROW)
    after = load_file(MODEL / "model.safetensors")
    (tmp_path / ".cache").rename(tmp_path / "elsewhere")
    subprocess.run(in_a_process_of_its_own(project, tmp_path), check=True)
    alone = load_file(MODEL / "model.safetensors")
    assert all(torch.equal(after[name], alone[name]) for name in alone)


def test_a_finished_training_is_published_again_without_training(project, monkeypatch):
    train_nnunet.main(project, ROW)
    before = (MODEL / "model.safetensors").read_bytes()
    monkeypatch.setattr(SpinalrootsTrainer, "train_step", None)
    train_nnunet.main(project, ROW)
    assert (MODEL / "model.safetensors").read_bytes() == before


def test_kill_9_costs_no_epoch_and_leaves_no_gap(project, tmp_path):
    command = in_a_process_of_its_own(tiny(project, epochs=5, iterations=3), tmp_path)
    checkpoints = "*/results/*/*/fold_0/checkpoint_latest.pth"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / ".cache" / "nnunet").glob(checkpoints)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    checkpoint = next((tmp_path / ".cache" / "nnunet").glob(checkpoints))
    done = torch.load(checkpoint, weights_only=True)
    assert done["epoch"] >= 1

    train_nnunet.main(tiny(project, epochs=5, iterations=3), ROW)
    (run,) = runs()
    for name in ("train_losses", "val_losses", "mean_fg_dice", "epoch"):
        assert [step for step, _ in curve(run, name)] == [0, 1, 2, 3, 4]
    kept = [value for _, value in curve(run, "train_losses")][: done["epoch"]]
    assert kept == done["curves"]["train_losses"][: done["epoch"]]


def test_what_decides_the_weights_is_in_the_key_and_where_it_runs_is_not(project):
    def key(**training):
        return train_nnunet.training_key(job(tiny(project, **training)))

    assert key() == key(country="FRA", augmentation_workers=3)
    assert len({key(), key(epochs=3), key(entity_weight=0.5), key(class_weights="balanced")}) == 4


def test_what_was_prepared_names_no_place_on_this_machine(project, tmp_path):
    files = [path for path in (tmp_path / paths.NNUNET).rglob("*") if path.is_file()]
    assert any(path.name == "dataset.json" for path in files)
    assert [path for path in files if str(tmp_path).encode() in path.read_bytes()] == []


def test_data_that_was_prepared_anew_is_trained_on_anew(project):
    asked = job(project)
    before = train_nnunet.training_key(asked)
    prepared = min(asked.data.glob("*_seg.b2nd"))
    prepared.write_bytes(prepared.read_bytes() + b"0")
    assert train_nnunet.training_key(asked) != before


def test_weights_of_another_loss_are_never_published_again(project, tmp_path):
    train_nnunet.main(project, ROW)
    before = (MODEL / "model.safetensors").read_bytes()
    sources = tmp_path / "changed"
    shutil.copytree(
        provenance.SOURCES,
        sources / "spinalroots",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    losses = sources / "spinalroots" / "nnunet" / "losses.py"
    told = losses.read_text(encoding="utf-8")
    assert told.count("        return loss\n") == 1
    losses.write_text(told.replace("        return loss\n", "        return loss * 0\n"))
    subprocess.run(
        in_a_process_of_its_own(project, tmp_path),
        env={**os.environ, "PYTHONPATH": str(sources)},
        check=True,
    )
    assert (MODEL / "model.safetensors").read_bytes() != before
    assert read_json(MODEL / "training.json")["folds"][0]["train_losses"] == [0, 0]
    train_nnunet.main(project, ROW)
    assert (MODEL / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("module", "decides"),
    [
        ("trainer", True),
        ("resumable", True),
        ("augmentation", True),
        ("losses", True),
        ("predictor", False),
        ("tiles", False),
        ("publishing", False),
        ("planner", False),
    ],
)
def test_code_that_trains_is_in_the_key_and_code_that_predicts_is_not(
    project, module, decides, monkeypatch
):
    asked = job(project)
    before = train_nnunet.training_key(asked)
    changed = f"spinalroots.nnunet.{module}"
    meaning = provenance._meaning
    monkeypatch.setattr(
        provenance, "_meaning", lambda name: "changed" if name == changed else meaning(name)
    )
    assert (train_nnunet.training_key(asked) != before) == decides


def test_never_mirrors_and_takes_its_budget_from_the_parameters(project, tmp_path):
    for kind in ("full", "light", "none"):
        asked = job(tiny(project, online_augmentation=kind))
        plans = {**asked.plans, SETTINGS: asked.settings, "continue_training": False}
        preprocessed = working_folder(asked, tmp_path / kind)
        with environment.folders(tmp_path / kind, preprocessed=preprocessed):
            trainer = SpinalrootsTrainer(
                plans, environment.CONFIGURATION, 0, asked.dataset, torch.device("cpu")
            )
            *_, mirror = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            assert mirror is None
            assert trainer.inference_allowed_mirroring_axes is None
            assert trainer.num_epochs == 2
            trainer.on_train_start()
            assert "Mirror" not in str(trainer.dataloader_train.data_loader.transforms)


def test_nnunet_finds_the_trainer_by_its_name(tmp_path):
    from nnunetv2.paths import nnUNet_extTrainer
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    with environment.folders(tmp_path):
        found = recursive_find_python_class(nnUNet_extTrainer.get(), "SpinalrootsTrainer", None)
    assert found is SpinalrootsTrainer
    assert os.environ.get("nnUNet_extTrainer") is None  # noqa: SIM112


def test_random_state_comes_back_for_all_three_generators(tmp_path):
    import random

    seed_everything(5)
    torch.save(random_state(), tmp_path / "state.pt")
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn


def test_warm_up_rises_to_the_poly_schedule():
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], 0.1)
    schedule = WarmUpPoly(optimizer, 0.1, max_steps=10, warm_up=1)
    rates = []
    for step in (0, 0.5, 1, 5, 9.5):
        schedule.step(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > 0
    assert rates[3] == pytest.approx(0.1 * 0.5**0.9)


def test_short_crops_do_not_crowd_out_whole_scans():
    voxels = {"scan": 1_200_000, **{f"crop{number}": 90_000 for number in range(5)}}
    drawn = by_size(voxels, patch_voxels=100_000)
    assert drawn.count("scan") == 12
    assert all(drawn.count(f"crop{number}") == 1 for number in range(5))


TWO_PROCESSES = """
import json, sys
import torch
import yaml

def as_rank(rank, size, *job):
    import torch.distributed as dist
    from nnunetv2.run import run_training
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as theirs
    from spinalroots.nnunet import training
    from spinalroots.nnunet.trainer import SpinalrootsTrainer as Ours

    run_training.setup_ddp = lambda rank, size: dist.init_process_group(
        "gloo", rank=rank, world_size=size
    )
    torch.cuda.set_device = lambda *_: None
    join, begin, end = theirs.DDP, Ours.take_settings, Ours.on_train_end
    theirs.DDP = lambda network, device_ids: join(network)

    def on_cpu(self):
        begin(self)
        self.device, self.grad_scaler = torch.device("cpu"), None

    def tell(self):
        weights = [float(one.double().sum()) for one in self._bare_network().parameters()]
        told = {"weights": weights, "batch": self.batch_size, "epochs": self.current_epoch}
        with open(f"{rank}.json", "w") as stream:
            json.dump(told, stream)
        end(self)

    Ours.take_settings, Ours.on_train_end = on_cpu, tell
    training._train_as_rank(rank, size, *job)

if __name__ == "__main__":
    from spinalroots.pipeline.params import Params
    from spinalroots.stages import train_nnunet

    spawn = torch.multiprocessing.spawn
    torch.multiprocessing.spawn = lambda _, args, nprocs: spawn(as_rank, args, nprocs)
    train_nnunet.main(Params.model_validate(yaml.safe_load(open("effective.yaml"))), sys.argv[1])
"""
"""As on several GPUs; what only they have is replaced: NCCL by gloo, CUDA by the CPU."""


def test_two_processes_share_the_batches_and_end_with_one_network(project, tmp_path):
    params = tiny(project, gpus=2)
    in_a_process_of_its_own(params, tmp_path)
    (tmp_path / "two.py").write_text(TWO_PROCESSES, encoding="utf-8")
    done = subprocess.run([sys.executable, "two.py", ROW], capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    one, two = (read_json(tmp_path / f"{rank}.json") for rank in (0, 1))
    assert one["weights"] == two["weights"]
    assert one["epochs"] == two["epochs"] == 2
    whole = job(params).plans["configurations"][environment.CONFIGURATION]["batch_size"]
    assert whole == 3  # which two cannot share: nnU-Net's own loss stops them both
    assert one["batch"] == two["batch"] == 2
    trained = load_file(MODEL / "model.safetensors")
    assert len(trained) > 5
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")  # the run was another process's
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert [step for step, _ in curve(run, "train_losses")] == [0, 1]
