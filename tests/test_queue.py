"""Variants side by side: a grid of experiments, queued, run by two workers, none of them lost.

The pipeline here is one stage, so that eight experiments take a minute; DVC's queue, its workers
and the way into MLflow are the real ones. `tests/test_pipeline.py` queues the project's own stages.
"""

from __future__ import annotations

import csv
import io
import itertools
import shutil
import time

import mlflow
import pytest
from conftest import ROOT
from test_remotes import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PIPELINE = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [refine, hardnet]
    outs: [models]
    metrics: [{metrics.json: {cache: false}}]
"""
PARAMETERS = """\
refine:
  regions: [all]
hardnet:
  patch_vox: 16
  precision: auto
"""
TRAIN = """\
import json
from pathlib import Path

import mlflow
import yaml

from spinalroots.pipeline import tracking

params = yaml.safe_load(Path("params.yaml").read_text())
with tracking.run("hardnet", kind="training", params=params):
    for step in range(40):
        mlflow.log_metric("loss", 1 / (step + params["hardnet"]["patch_vox"]), step=step)
Path("models").mkdir(exist_ok=True)
Path("models/weights.json").write_text(json.dumps(params))
Path("metrics.json").write_text(json.dumps({"loss": 1 / (39 + params["hardnet"]["patch_vox"])}))
"""
GRID = (("lumbar", "sacral"), (24, 32), ("32", "bf16-mixed"))
SWEEP = [
    *("-S", "refine.regions=[lumbar],[sacral]"),
    *("-S", "hardnet.patch_vox=24,32"),
    *("-S", "hardnet.precision='32',bf16-mixed"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Machine:
    """The one-stage project after `dvc repro`, committed; then the grid, run by two workers."""
    folder = tmp_path_factory.mktemp("queue") / "project"
    (folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    written = {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMETERS,
        "train.py": TRAIN,
        ".gitignore": "/mlflow.db*\n/mlruns/\n",
    }
    for name, text in written.items():
        (folder / name).write_text(text)
    machine = Machine(folder, {})
    machine.run("git", "init", "-q", "-b", "main")
    machine.run("dvc", "repro")
    machine.run("git", "add", "-A")
    machine.run("git", "commit", "-q", "-m", "base")
    machine.before = contents(machine)
    machine.run("dvc", "exp", "run", "--queue", "--name", "grid", *SWEEP)
    machine.run("dvc", "queue", "start", "-j", "2")
    try:
        wait(machine)
    finally:
        machine.run("dvc", "queue", "stop", "--kill", check=False)
    return machine


def wait(machine: Machine) -> None:
    """Until no task is queued or running."""
    for _ in range(300):
        said = machine.run("dvc", "queue", "status").stdout
        if "Queued" not in said and "Running" not in said:
            return
        time.sleep(1)
    raise AssertionError(said)


def contents(machine: Machine) -> dict[str, bytes]:
    """What a person sees in the folder, and git's word on it."""
    files = [
        path for path in machine.folder.iterdir() if path.is_file() and "mlflow" not in path.name
    ]
    seen = {path.name: path.read_bytes() for path in [*files, *machine.folder.glob("models/*")]}
    return seen | {"git": machine.run("git", "status", "--porcelain").stdout.encode()}


def runs(machine: Machine) -> list:
    """MLflow's runs of experiments."""
    client = mlflow.MlflowClient(f"sqlite:///{machine.folder / 'mlflow.db'}")
    found = client.search_runs(
        [one.experiment_id for one in client.search_experiments()], max_results=1000
    )
    return [run for run in found if "dvc.experiment" in run.data.tags]


def test_every_variant_of_the_grid_is_shown_by_dvc(project):
    rows = list(csv.DictReader(io.StringIO(project.run("dvc", "exp", "show", "--csv").stdout)))
    shown = {
        (
            row["refine.regions"].strip("[]'\""),
            int(row["hardnet.patch_vox"]),
            row["hardnet.precision"],
        )
        for row in rows
        if row["Experiment"].startswith("grid")
    }
    assert shown == set(itertools.product(*GRID))
    assert all(row["loss"] for row in rows if row["Experiment"].startswith("grid"))


def test_every_variant_has_its_whole_run_in_mlflow_under_the_experiments_name(project):
    found = [run for run in runs(project) if run.data.tags.get("kind") == "training"]
    assert len(found) == 8
    assert {run.info.status for run in found} == {"FINISHED"}
    assert {run.data.tags["dvc.experiment"] for run in found} == {f"grid-{n}" for n in range(1, 9)}
    client = mlflow.MlflowClient(f"sqlite:///{project.folder / 'mlflow.db'}")
    for run in found:
        history = client.get_metric_history(run.info.run_id, "loss")
        assert sorted(entry.step for entry in history) == list(range(40))
    asked = {
        (run.data.params["hardnet.patch_vox"], run.data.params["hardnet.precision"])
        for run in found
    }
    assert asked == {(str(patch), precision) for _, patch, precision in itertools.product(*GRID)}


def test_the_queue_leaves_the_folder_as_it_was(project):
    assert contents(project) == project.before


def test_an_experiment_in_a_copy_never_touches_the_folder(project):
    known = len(runs(project))
    project.run("dvc", "exp", "run", "--temp", "--name", "aside", "-S", "hardnet.patch_vox=48")
    assert contents(project) == project.before
    assert "aside" in project.run("dvc", "exp", "show", "--csv").stdout
    assert len(runs(project)) > known
    project.run("dvc", "exp", "apply", "aside")
    assert b"patch_vox: 48" in contents(project)["params.yaml"]
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout")
    assert contents(project) == project.before
