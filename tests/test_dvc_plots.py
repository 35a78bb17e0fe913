"""What DVC shows beside metrics: plots of a run and of two runs, and the models as artifacts."""

import shutil
import subprocess

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from dvc.repo import Repo

from spinalroots.files import write_json, write_table
from spinalroots.registry import paths
from spinalroots.report import curves
from spinalroots.report.inputs import Inputs

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
MODEL = "nnunet-all-levels"


def test_training_curves_are_the_losses_of_every_training(tmp_path):
    folder = tmp_path / paths.TRAINED
    folds = [{"train_losses": [3.0, 2.0], "val_losses": [4.0]}, {"train_losses": [9.0]}]
    write_json(folder / MODEL / "training.json", {"folds": folds})
    write_json(folder / "hardnet-anatomy" / "training.json", {"losses": {"names": [1.5]}})
    rows = curves.training(Inputs(tmp_path)).itertuples(index=False, name=None)
    assert sorted(rows) == [
        ("hardnet-anatomy", "names", 1, 1.5),
        (MODEL, "training", 1, 3.0),
        (MODEL, "training", 2, 2.0),
        (MODEL, "validation", 1, 4.0),
    ]


def test_dice_by_level_is_the_mean_over_cases_from_the_head_down(tmp_path):
    head = {"model": MODEL, "source": "phantom", "metric": "level_dice"}
    values = [("sub-1", "L1", 0.2), ("sub-2", "L1", 0.6), ("sub-1", "T10", 0.9)]
    table = pd.DataFrame({**head, "case": c, "label": l, "value": v} for c, l, v in values)
    write_table(tmp_path / paths.METRICS_CASES, table)
    rows = list(curves.levels(Inputs(tmp_path)).itertuples(index=False, name=None))
    assert rows == [(MODEL, "T10", 0.9), (MODEL, "L1", pytest.approx(0.4))]


def test_without_a_training_the_tables_keep_their_columns(tmp_path):
    assert tuple(curves.training(Inputs(tmp_path)).columns) == curves.TRAINING
    assert tuple(curves.levels(Inputs(tmp_path)).columns) == curves.LEVELS


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with the project's plots and artifacts, and the tables of a run."""
    shutil.copytree(ROOT / ".dvc" / "plots", tmp_path / ".dvc" / "plots")
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    parts = {key: PIPELINE[key] for key in ("plots", "artifacts")}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(parts, sort_keys=False), encoding="utf-8")
    training = pd.DataFrame([(MODEL, "training", 1, 3.0)], columns=curves.TRAINING)
    write_table(tmp_path / paths.TRAINING_CURVES, training)
    levels = pd.DataFrame([(MODEL, "L1", 0.4)], columns=curves.LEVELS)
    write_table(tmp_path / paths.LEVEL_DICE, levels)
    for name in (
        "calibration.csv",
        "calibration_names.csv",
        "class_distribution.csv",
    ):
        shutil.copy(ROOT / paths.REPORTS / name, tmp_path / paths.REPORTS / name)
    who = ["-c", "user.name=A", "-c", "user.email=a@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawn(folder, *command):
    """The page that `dvc plots` writes."""
    subprocess.run(["dvc", "plots", *command, "-o", "page", "-q"], cwd=folder, check=True)
    return (folder / "page" / "index.html").read_text(encoding="utf-8")


def test_dvc_plots_show_draws_every_plot(project):
    html = drawn(project, "show")
    for plot in PIPELINE["plots"]:
        (title,) = plot
        assert f'"title": "{title}"' in html
    for value in ('"loss": "3.0', '"dice": "0.4', '"observed"', '"augmented_voxels"'):
        assert value in html
    assert f'"model": "{MODEL}"' in html
    assert "<DVC_METRIC" not in html


def test_dvc_plots_diff_lays_two_runs_over_each_other(project):
    better = pd.DataFrame([(MODEL, "L1", 0.7)], columns=curves.LEVELS)
    write_table(project / paths.LEVEL_DICE, better)
    html = drawn(project, "diff", "HEAD")
    for value, revision in (("0.4", "HEAD"), ("0.7", "workspace")):
        at = html.index(f'"dice": "{value}')
        assert f'"rev": "{revision}"' in html[at : at + 200]


def test_every_model_folder_is_an_artifact_with_description_and_labels():
    found = Repo(ROOT).artifacts.read()["dvc.yaml"]
    packaged = [
        next(iter(out)) if isinstance(out, dict) else out
        for out in PIPELINE["stages"]["package"]["outs"]
    ]
    assert sorted(artifact.path for artifact in found.values()) == sorted(packaged)
    for name, artifact in found.items():
        assert artifact.path.endswith(name)
        assert artifact.type == "model"
        assert artifact.desc
        assert "spinal nerve roots" in artifact.labels
