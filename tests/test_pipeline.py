"""The whole pipeline at smoke scale, in a copy of the project: one run for all tests here."""

from __future__ import annotations

import json
import shutil
import sys
import time

import mlflow
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from pipeline import Copy

from spinalroots.dataset.layout import Dataset
from spinalroots.phantom.dataset import case_name
from spinalroots.registry.anatomy import Scheme, label_names
from spinalroots.registry.models import MODELS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TRAINED = {name for name, model in MODELS.items() if model.family != "named"}
"""The models that are a training of their own."""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Copy:
    """The project after `dvc exp run -S scale=smoke`."""
    copy = Copy(tmp_path_factory.mktemp("project"))
    start = time.monotonic()
    copy.experiment = copy.run("dvc", "exp", "run", "--name", "smoke-test", "-S", "scale=smoke")
    copy.seconds = time.monotonic() - start
    print(f"smoke pipeline: {copy.seconds:.0f} s")
    return copy


def test_every_stage_runs_once(project):
    stages = yaml.safe_load((project.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name in stages:
        assert f"Running stage '{name}'" in project.experiment.stdout


def test_table_of_models_has_the_papers_rows_and_hardnet(project):
    table = pd.read_csv(project.folder / "reports/table_models.csv")
    assert list(table.columns) == [
        "model",
        "region",
        "target",
        "augmented",
        "n_cases",
        "binary_dice_mean",
        "binary_dice_sd",
        "expert_score_mean",
        "expert_score_sd",
        "expert_score_source",
    ]
    assert set(table["model"]) == set(MODELS)
    tested = json.loads((project.folder / "data/split.json").read_text(encoding="utf-8"))["test"]
    assert (table["n_cases"] == len(tested)).all()
    assert table["binary_dice_mean"].between(0, 1).all()


def test_table_of_quantization_is_measured(project):
    table = pd.read_csv(project.folder / "reports/table_quantization.csv")
    assert list(table.columns) == [
        "model",
        "precision",
        "runtime",
        "size_mb",
        "inference_s",
        "binary_dice_mean",
        "binary_dice_sd",
    ]
    assert {"fp32", "int8"} <= set(table["precision"])
    assert (table["size_mb"] > 0).all()
    assert (table["inference_s"] > 0).all()


def test_metrics_and_page_exist(project):
    assert json.loads((project.folder / "reports/metrics.json").read_text(encoding="utf-8"))
    page = (project.folder / "reports/index.html").read_text(encoding="utf-8")
    assert "<table" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_no_model_was_trained_on_a_test_case_raw_or_augmented(project):
    split = json.loads((project.folder / "data/split.json").read_text(encoding="utf-8"))
    augmented = Dataset(project.folder / "data/augmented")
    parents = {
        case: json.loads(augmented.sidecar(case).read_text(encoding="utf-8"))["parent"]
        for case in augmented.cases()
    }
    assert set(parents.values()) <= set(split["train"])
    made = json.loads((project.folder / "data/anatomy/phantoms.json").read_text(encoding="utf-8"))
    raw = Dataset(project.folder / "data/raw/phantom").cases()
    assert not {case_name(number) for number in made["numbers"]} & set(raw)
    for name in TRAINED - {"hardnet-anatomy"}:
        record = json.loads(
            (project.folder / "models" / name / "model.json").read_text(encoding="utf-8")
        )
        trained_on = set(record["trained_on"]["training"])
        assert trained_on
        assert trained_on <= set(split["train"]) | set(parents)
        assert set(record["trained_on"]["validation"]) <= set(split["validation"])
        assert not {parents.get(case, case) for case in trained_on} & set(split["test"])
        assert bool(trained_on & set(parents)) is MODELS[name].augmented


def test_predictions_lie_on_the_scans_own_grid(project):
    split = json.loads((project.folder / "data/split.json").read_text(encoding="utf-8"))
    raw = Dataset(project.folder / "data/raw/phantom")
    for name in MODELS:
        processed = Dataset(project.folder / "data/postprocessed" / name)
        for case in split["test"]:
            scan = nib.load(raw.image(case))
            for scheme in (Scheme.ENTITY, Scheme.LEVELS, Scheme.INDIVIDUALS):
                labels = nib.load(processed.labels(case, scheme))
                assert labels.shape == scan.shape
                assert np.allclose(labels.affine, scan.affine, atol=1e-3)
                assert set(np.unique(labels.dataobj)) <= {0, *label_names(scheme)}


def test_mlflow_holds_every_kind_of_run_at_the_repository_root(project):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder / 'mlflow.db'}")
    runs = [
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id], max_results=1000)
    ]
    by_kind = {}
    for run in runs:
        by_kind.setdefault(run.data.tags.get("kind"), []).append(run)
    kinds = {"training", "study", "trial", "evaluation", "quantization", "registration"}
    assert kinds <= set(by_kind)
    (parent,) = by_kind["pipeline"]
    of_the_run = [run for run in runs if run.data.tags.get("dvc.run") == parent.info.run_name]
    assert len(of_the_run) == len(runs)
    assert {run.data.tags["model"] for run in by_kind["training"]} == TRAINED
    assert len(by_kind["training"]) == len(TRAINED)
    assert len(by_kind["evaluation"]) == len(MODELS)
    for kind in ("training", "evaluation"):
        for run in by_kind[kind]:
            tags = run.data.tags
            wanted = {"region", "model", "target", "scale", "git.revision", "dvc.stage"}
            assert wanted <= set(tags), (kind, run.info.run_name)
            assert tags["scale"] == "smoke"
            assert any(tag.startswith("data.") for tag in tags)
            assert run.info.status == "FINISHED"


def test_the_experiment_shows_up_in_dvc(project):
    assert "smoke-test" in project.run("dvc", "exp", "show", "--no-pager", "--csv").stdout


def test_a_second_run_has_nothing_to_do(project):
    again = project.run("dvc", "repro")
    assert "Running stage" not in again.stdout
    assert "up to date" in again.stdout


@pytest.mark.parametrize(
    ("place", "value", "again", "not_again"),
    [
        ("augment.target_ratio", 0.51, {"augment"}, {"phantom", "check", "refine", "split"}),
        (
            "inference.hardnet.mirroring",
            True,
            {"predict_hardnet", "quantize", "package"},
            {"tune_hardnet", "train_hardnet", "train_nnunet"},
        ),
        (
            "inference.anatomy.mirroring",
            False,
            {"predict_anatomy", "package"},
            {"anatomy_phantoms", "train_anatomy", "predict_nnunet"},
        ),
        ("anatomy.steps", 7, {"train_anatomy"}, {"anatomy_phantoms", "train_hardnet"}),
        (
            "inference.nnunet.decoding",
            "argmax",
            {"predict_nnunet"},
            {"tune_hardnet", "train_hardnet", "train_nnunet"},
        ),
        ("hardnet.learning_rate", 0.002, {"train_hardnet"}, {"tune_hardnet", "augment"}),
        ("postprocess.island_mm3", 7.0, {"postprocess", "package"}, {"predict_hardnet"}),
    ],
)
def test_a_parameter_reruns_what_depends_on_it_and_nothing_else(
    place, value, again, not_again, project
):
    path = project.folder / "params.yaml"
    before = path.read_text(encoding="utf-8")
    record = yaml.safe_load(before)
    *sections, key = place.split(".")
    inner = record
    for section in sections:
        inner = inner[section]
    inner[key] = value
    try:
        path.write_text(yaml.safe_dump(record), encoding="utf-8")
        stdout = project.run("dvc", "repro", "--dry").stdout
    finally:
        path.write_text(before, encoding="utf-8")
    rerun = {line.split("'")[1] for line in stdout.splitlines() if line.startswith("Running stage")}
    assert again <= rerun
    assert not not_again & rerun


@pytest.mark.parametrize(
    ("stage", "model", "module", "old", "new"),
    [
        (
            "train_hardnet",
            "hardnet-all-levels",
            "hardnet/training/losses.py",
            "return sum(",
            "return 0 * sum(",
        ),
        (
            "train_anatomy",
            "hardnet-anatomy",
            "hardnet/anatomy/losses.py",
            "return cross_entropy + (1 - tissues)",
            "return 0 * cross_entropy",
        ),
        (
            "train_nnunet",
            "nnunet-all-levels",
            "nnunet/losses.py",
            "        return loss\n",
            "        return 0 * loss\n",
        ),
    ],
)
def test_a_changed_loss_never_republishes_the_old_weights(stage, model, module, old, new, project):
    path = project.folder / "src" / "spinalroots" / module
    weights = project.folder / "models" / "trained" / model / "model.safetensors"
    before, source = weights.read_bytes(), path.read_text(encoding="utf-8")
    assert source.count(old) == 1
    try:
        path.write_text(source.replace(old, new), encoding="utf-8")
        assert stage in project.run("dvc", "status", stage).stdout
        project.run("dvc", "repro", "--single-item", stage)
        assert weights.read_bytes() != before
    finally:
        path.write_text(source, encoding="utf-8")
    project.run("dvc", "repro", "--single-item", stage)
    assert weights.read_bytes() == before, "the old code's own training was not found again"


def test_predict_takes_a_scan_and_gives_masks_on_its_grid(project, tmp_path):
    case = json.loads((project.folder / "data/split.json").read_text(encoding="utf-8"))["test"][0]
    scan_path = tmp_path / "scan.nii.gz"
    shutil.copy(Dataset(project.folder / "data/raw/phantom").image(case), scan_path)
    project.run("spinalroots", "predict", str(scan_path), "-o", str(tmp_path / "out"))
    scan = nib.load(scan_path)
    for scheme in ("levels", "individuals"):
        mask = nib.load(tmp_path / "out" / f"scan_label-{scheme}_dseg.nii.gz")
        assert mask.shape == scan.shape
        assert np.allclose(mask.affine, scan.affine, atol=1e-3)
        table = tmp_path / "out" / f"scan_label-{scheme}_dseg.tsv"
        assert table.read_text(encoding="utf-8").startswith("index\tname\tcolor")
    record = json.loads((tmp_path / "out" / "scan_prediction.json").read_text(encoding="utf-8"))
    assert record["model"] in MODELS
    assert isinstance(record["warnings"], list)


def test_predict_works_on_real_scans(project, real_scans, tmp_path):
    for name, path in real_scans.items():
        project.run("spinalroots", "predict", str(path), "-o", str(tmp_path / name))
        scan = nib.load(path)
        stem = path.name.removesuffix(".nii.gz")
        for scheme in ("levels", "individuals"):
            mask = nib.load(tmp_path / name / f"{stem}_label-{scheme}_dseg.nii.gz")
            assert mask.shape == scan.shape
            assert np.allclose(mask.affine, scan.affine, atol=1e-4)


@pytest.mark.parametrize("kind", ["missing", "truncated", "four-d", "nan"])
def test_predict_refuses_a_bad_scan_and_writes_nothing(kind, project, tmp_path):
    case = Dataset(project.folder / "data/raw/phantom").cases()[0]
    good = Dataset(project.folder / "data/raw/phantom").image(case)
    bad = tmp_path / "bad.nii.gz"
    if kind == "truncated":
        bad.write_bytes(good.read_bytes()[:20000])
    elif kind == "four-d":
        nib.save(nib.Nifti1Image(np.zeros((8, 8, 8, 2), np.float32), np.eye(4)), bad)
    elif kind == "nan":
        nib.save(nib.Nifti1Image(np.full((40, 40, 40), np.nan, np.float32), np.eye(4)), bad)
    result = project.run(
        "spinalroots", "predict", str(bad), "-o", str(tmp_path / "out"), check=False
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {bad}: expected")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def pushed(project, tmp_path_factory):
    """The project with all its results committed, and pushed to a remote as a person does it."""
    (project.folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    store = tmp_path_factory.mktemp("store")
    project.run("dvc", "remote", "add", "-d", "disk", str(store))
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "smoke-test")
    project.run("make", "-o", ".venv/.ready", "push")
    return project


def clone_of(project, folder) -> Copy:
    """A fresh clone, its environment being this Python's."""
    project.run("git", "clone", "-q", str(project.folder), str(folder))
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    clone = object.__new__(Copy)
    clone.folder = folder
    return clone


def test_a_new_machine_pulls_everything_and_has_nothing_to_do(pushed, tmp_path):
    clone = clone_of(pushed, tmp_path / "clone")
    said = clone.run("make", "-o", ".venv/.ready", "pull").stdout
    assert "`dvc repro` has nothing to do" in said
    assert "Running stage" not in clone.run("dvc", "repro").stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_one_pulled_model_is_enough_to_predict(pushed, tmp_path):
    clone = clone_of(pushed, tmp_path / "clone")
    case = json.loads((pushed.folder / "data/split.json").read_text(encoding="utf-8"))["test"][0]
    scan = tmp_path / "scan.nii.gz"
    shutil.copy(Dataset(pushed.folder / "data/raw/phantom").image(case), scan)
    clone.run("dvc", "pull", "models/hardnet-anatomy")
    there = {path for path in (clone.folder / "models").rglob("*") if path.is_file()}
    assert {path.relative_to(clone.folder / "models").parts[0] for path in there} <= {
        "hardnet-anatomy",
        "trained",  # what git itself holds of it: a list of names
        ".gitignore",
    }
    assert not [path for path in there if path.suffix == ".safetensors" and "trained" in path.parts]
    for where, out in ((clone, "there"), (pushed, "here")):
        where.run("spinalroots", "predict", str(scan), "-o", str(tmp_path / out))
    name = "scan_label-individuals_dseg.nii.gz"
    assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_queued_trainings_run_two_at_once_and_none_is_lost(pushed):
    before = pushed.run("git", "status", "--porcelain").stdout
    sweep = ["-S", "hardnet.patch_vox=24,32", "-S", "hardnet.learning_rate=0.003"]
    pushed.run("dvc", "exp", "run", "--queue", "--name", "patch", *sweep, "train_hardnet")
    pushed.run("dvc", "queue", "start", "-j", "2")
    try:
        for _ in range(300):
            said = pushed.run("dvc", "queue", "status").stdout
            if "Queued" not in said and "Running" not in said:
                break
            time.sleep(1)
    finally:
        pushed.run("dvc", "queue", "stop", "--kill", check=False)
    assert said.count("Success") == 2, said
    assert pushed.run("git", "status", "--porcelain").stdout == before
    shown = pushed.run("dvc", "exp", "show", "--csv").stdout
    client = mlflow.MlflowClient(f"sqlite:///{pushed.folder / 'mlflow.db'}")
    for name in ("patch-1", "patch-2"):
        assert name in shown
        found = client.search_runs(
            [one.experiment_id for one in client.search_experiments()],
            f"tags.`dvc.experiment` = '{name}' and tags.kind = 'training'",
        )
        assert [run.info.status for run in found] == ["FINISHED"]
