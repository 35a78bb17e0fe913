"""Models in MLflow's registry: a champion that test cases did not choose, and a served answer."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import nibabel as nib
import numpy as np
import pytest
from small_model import NAME, write_packaged, write_scan

from spinalroots import cli
from spinalroots.files import read_json, sha256, write_json
from spinalroots.pipeline.champion import Version, champion, validation_dice
from spinalroots.predict import served
from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY
from spinalroots.stages import register

LONGEST_START_S = 240


@pytest.fixture(scope="module")
def place(tmp_path_factory, smoke_params):
    """A registry with two trainings of one model; the first was better on validation cases."""
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        (root / "dvc.yaml").touch()
        for number, seed in enumerate((1, 0, 0)):  # validation Dice 0.6, 0.5, and 0.5 once more
            shutil.rmtree(root / "models", ignore_errors=True)
            built = root / f"built-{number}" / NAME
            write_packaged(built, smoke_params, seed=seed, export=False)
            shutil.copytree(built, root / "models" / NAME)
            register.main(smoke_params)
    return root


@pytest.fixture
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    return place


def test_a_model_is_registered_once_with_what_it_takes_and_where_it_comes_from(inside):
    client = mlflow.MlflowClient()
    versions = {int(one.version): one for one in client.search_model_versions(f"name='{NAME}'")}
    assert set(versions) == {1, 2}
    assert (
        versions[2].tags.items()
        >= {
            "augmented": "true",
            "validation_dice": "0.5",
            "training_key": "0" * 16,
            "weights_sha256": sha256(inside / "models" / NAME / "model.safetensors"),
        }.items()
    )
    info = mlflow.models.get_model_info(f"models:/{NAME}/2")
    assert info.signature == served.SIGNATURE
    assert info.signature.inputs.input_names() == ["scan"]
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/2"))
    assert list(folder.rglob("input_example.json"))
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_the_champion_is_the_better_one_on_validation_cases(inside):
    assert int(mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion").version) == 1


def test_predict_takes_a_registered_model(inside, tmp_path, capsys):
    scan = write_scan(tmp_path / "scan.nii.gz")
    said = {}
    for uri in (f"models:/{NAME}@champion", f"models:/{NAME}/2", str(inside / "models" / NAME)):
        out = tmp_path / f"out-{len(said)}"
        assert cli.main(["predict", str(scan), "-o", str(out), "-m", uri]) == 0
        said[uri] = read_json(out / "scan_prediction.json")["weights_sha256"]
    first, second, newest = said.values()
    assert second == newest != first
    assert cli.main(["predict", str(scan), "-o", str(tmp_path / "no"), "-m", "models:/x/1"]) == 2
    assert "error: models:/x/1: expected a registered model" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_served_by_mlflow_it_answers_with_the_masks_that_predict_writes(inside, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    assert (
        cli.main(["predict", str(scan), "-o", str(tmp_path / "out"), "-m", f"models:/{NAME}/1"])
        == 0
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ["-m", f"models:/{NAME}@champion", "--env-manager", "local", "--workers", "1"]
    options += ["--host", "127.0.0.1", "--port", str(port)]
    log = (tmp_path / "server.log").open("w", encoding="utf-8")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", *options],
        env={**os.environ, "PATH": tools},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "server.log")
        asked = {"columns": ["scan"], "data": [[base64.b64encode(scan.read_bytes()).decode()]]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_split": asked}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            (found,) = json.load(answer)["predictions"]
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
        log.close()
    for name in served.MAPS:
        content = gzip.decompress(base64.b64decode(found[name]))
        image = nib.Nifti1Image.from_bytes(content)
        written = nib.load(tmp_path / f"out/scan_label-{name}_dseg.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj), np.asarray(written.dataobj))
        assert np.allclose(image.affine, written.affine)
    assert json.loads(found["record"])["model"] == NAME


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + LONGEST_START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


def test_a_registry_that_is_away_stops_no_pipeline(inside, smoke_params, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    register.main(smoke_params)
    assert "bin/stage register" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("versions", "rule", "number"),
    [
        ([Version(1, "a", 0.7), Version(2, "a", 0.6)], "validation_dice", 1),
        ([Version(1, "a", 0.7), Version(2, "a", 0.6)], "newest", 2),
        ([Version(1, "a", 0.7), Version(2, "a", 0.7)], "validation_dice", 2),
        ([Version(1, "b", 0.9), Version(2, "a", 0.6)], "validation_dice", 2),
        ([Version(1, "a", 0.7), Version(2)], "validation_dice", 2),
        ([Version(1), Version(2, "a", 0.1), Version(10, "a", 0.05)], "validation_dice", 2),
    ],
)
def test_only_versions_judged_on_the_same_cases_compete(versions, rule, number):
    assert champion(versions, rule).number == number


def test_the_figure_is_the_trainings_own_on_validation_cases():
    assert validation_dice({"validation_dice": 0.4}) == 0.4
    folds = [{"mean_fg_dice": [0.9, 0.2]}, {"mean_fg_dice": [0.1, 0.4]}]
    assert validation_dice({"folds": folds}) == pytest.approx(0.3)
    assert validation_dice({"losses": {}}) is None


def test_a_training_that_measures_none_has_the_figure_that_its_export_was_judged_by(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / paths.MODELS / ANATOMY.name
    folder.mkdir(parents=True)
    write_json(folder / "training.json", {"losses": {"tissues": [0.5]}})
    (folder / "model.safetensors").write_bytes(b"weights")
    assert register.judgement(ANATOMY, {}) == (None, None, {})
    record = {"validation_dice": 0.7, "validation_cases": ["sub-ph009"]}
    made_from = {"model.safetensors": sha256(folder / "model.safetensors")}
    write_json(paths.RECOMMENDED, {ANATOMY.name: {**record, "made_from": made_from}})
    assert register.judgement(ANATOMY, {})[:2] == (0.7, ["sub-ph009"])
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert register.judgement(ANATOMY, {}) == (None, None, {})
