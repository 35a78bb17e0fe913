"""A model's folder carries everything, and its export never answers for other weights.

The real commands, on tiny scans: train, quantize, package, predict.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from spinalroots import cli
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.exports.description import read_description
from spinalroots.files import read_json, sha256, write_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.predict.trained import TrainedModel
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme, level_value
from spinalroots.registry.models import HARDNET

SHAPE, AFFINE = (30, 30, 36), np.diag([1.2, 1.2, 1.5, 1.0])
LINE = Centreline(np.array([[18.0, 18, 0], [18, 18, 52.5]]), "truth")


def tube(seed: int) -> tuple[Volume, Volume]:
    """A bright sac with two dark threads, and the threads' levels: L5 above, S1 below."""
    x, y = (np.arange(size) * 1.2 - 18 for size in SHAPE[:2])
    plane = 100 + 900 * (np.hypot(x[:, None], y[None]) < 9)
    data = np.repeat(plane[:, :, None], SHAPE[2], axis=2).astype(np.float32)
    levels = np.zeros(SHAPE, np.uint8)
    for right in (11, 18):
        levels[right : right + 2, 12:14, 18:] = level_value("L5")
        levels[right : right + 2, 12:14, :18] = level_value("S1")
    data[levels > 0] = 300
    data += np.random.default_rng(seed).normal(0, 20, SHAPE).astype(np.float32)
    return Volume(data, AFFINE), Volume(levels, AFFINE)


def write_case(name: str, seed: int) -> None:
    """A case that is annotated by level only."""
    scan, levels = tube(seed)
    for root in (paths.INGESTED, paths.REFINED):
        write_volume(Dataset(root).image(name), scan)
        write_volume(Dataset(root).labels(name, Scheme.LEVELS), levels)
    for folder in (paths.CENTRELINES, paths.SCAN_CENTRELINES):
        LINE.write(folder / f"{name}.json")


def change(**more) -> None:
    """Set values of params.yaml."""
    file = Path("params.yaml")
    record = yaml.safe_load(file.read_text(encoding="utf-8"))
    for section, values in more.items():
        record[section] = record[section] | values if isinstance(values, dict) else values
    file.write_text(yaml.safe_dump(record), encoding="utf-8")


def command(*arguments) -> None:
    assert cli.main([*map(str, arguments)]) == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Where a model was trained, exported, packaged, and then trained again with another seed."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "params.yaml", root)
    (root / "dvc.yaml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        change(
            scale="smoke",
            workers=1,
            data={"source": "ingested"},
            hardnet={"epochs": 1, "epoch_megavoxels": 0.05, "accelerator": "cpu"},
            quantize={"models": [HARDNET.name], "max_dice_loss": 1.0},
        )
        write_json(paths.SPLIT, {"train": ["sub-1"], "validation": ["sub-2"], "test": ["sub-3"]})
        for seed, name in enumerate(("sub-1", "sub-2", "sub-3")):
            write_case(name, seed)
        for stage in ("appearance", "train_hardnet", "quantize", "package"):
            command("stage", stage)
        shutil.copytree(paths.MODELS / HARDNET.name, "first")
        change(seed=77)
        command("stage", "train_hardnet")
    return root


@pytest.fixture
def model(project, tmp_path) -> Path:
    """The model of the first training, in a place without anything else."""
    return shutil.copytree(project / "first", tmp_path / "elsewhere" / "copied")


@pytest.fixture
def scan(tmp_path) -> Path:
    write_volume(tmp_path / "scan.nii.gz", tube(9)[0])
    return tmp_path / "scan.nii.gz"


def predict(scan: Path, model: Path) -> tuple[dict, dict[str, str]]:
    """What the command says of the scan on a CPU: its JSON, and the hashes of the volumes."""
    out = scan.with_name(f"out-{sum(1 for _ in scan.parent.iterdir())}")
    command("predict", scan, "-o", out, "-m", model, "--device", "cpu")
    volumes = {path.name: sha256(path) for path in sorted(out.glob("*.nii.gz"))}
    assert len(volumes) == 6
    return read_json(out / "scan_prediction.json"), volumes


def by_network(scan: Path, model: Path) -> dict[str, str]:
    """The hashes of the volumes that the folder's network itself gives."""
    alone = shutil.copytree(model, model.with_name(f"{model.name}-alone"))
    shutil.rmtree(alone / "export", ignore_errors=True)
    write_json(alone / "package.json", read_json(alone / "package.json") | {"export": None})
    said, volumes = predict(scan, alone)
    assert (said["export"], said["export_not_used"]) == ("PyTorch fp32", "")
    return volumes


def test_a_case_annotated_by_level_only_is_measured(project):
    table = pd.read_csv(project / "reports" / "quantization_details.csv")
    assert np.isfinite(table["binary_dice_mean"]).all()
    assert table["recommended"].sum() == 1


def test_a_model_predicts_where_there_is_nothing_else(scan, model, tmp_path):
    """No params.yaml, no models/, no repository: another process in an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    given = ["-o", "out", "-m", str(model), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "spinalroots", "predict", str(scan), *given],
        cwd=empty,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in empty.iterdir()] == ["out"]
    said = read_json(empty / "out" / "scan_prediction.json")
    assert said["model"] == HARDNET.name
    assert said["weights_sha256"] == sha256(model / "model.safetensors")
    assert said["export"].startswith("openvino-")
    assert "1 training scans" in said["appearance_compared"]


def test_a_name_is_a_folder_below_models(project, scan, model, monkeypatch, capsys):
    monkeypatch.chdir(project)
    out = scan.parent / "named"
    command("predict", scan, "-o", out, "-m", HARDNET.name, "--device", "cpu")
    command("predict", scan, "-o", scan.parent / "other", "-m", "copied", "--models", model.parent)
    assert read_json(out / "scan_prediction.json")["model"] == HARDNET.name
    assert cli.main(["predict", str(scan), "-o", str(out), "-m", "hardnet"]) == 2
    assert f"models has {HARDNET.name}" in capsys.readouterr().err


def test_after_another_training_the_old_export_is_not_packaged(project, scan, monkeypatch, capsys):
    monkeypatch.chdir(project)
    command("stage", "package")
    assert "without an export" in "".join(capsys.readouterr())
    fresh = project / paths.MODELS / HARDNET.name
    assert not (fresh / "export").exists()
    said, volumes = predict(scan, fresh)
    assert said["weights_sha256"] == sha256(
        project / paths.TRAINED / HARDNET.name / "model.safetensors"
    )
    assert volumes == by_network(scan, shutil.copytree(fresh, scan.parent / "fresh"))


def test_an_export_of_other_weights_never_answers_for_a_model(project, scan, model, capsys):
    exported = predict(scan, model)[1]
    for name in ("model.safetensors", "model.json"):
        shutil.copy(project / paths.TRAINED / HARDNET.name / name, model)
    said, volumes = predict(scan, model)
    assert "another model.safetensors" in said["export_not_used"]
    assert "The network ran, and not its export" in capsys.readouterr().err
    assert volumes == by_network(scan, model)
    assert volumes != exported


def test_an_export_of_other_weights_is_not_measured_either(project):
    folder = next((project / paths.EXPORTS / HARDNET.name).iterdir())
    retrained = TrainedModel(project / paths.TRAINED / HARDNET.name, None)
    with pytest.raises(InputError, match="present weights"):
        read_description(folder, retrained.made_from)


def edited(**more) -> Callable[[Path], None]:
    """Sets keys of a JSON file; None takes them out."""

    def edit(path: Path) -> None:
        record = read_json(path) | more
        write_json(path, {key: value for key, value in record.items() if value is not None})

    return edit


def cut(path: Path) -> None:
    """Half of the file is left."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    """One bit in the middle is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("export", shutil.rmtree),
        ("export/export.json", Path.unlink),
        ("export/export.json", cut),
        ("export/export.json", edited(runtime="abacus")),
        ("export/export.json", edited(files=None)),
        ("export/export.json", edited(made_from={})),
        ("export/export.json", lambda path: path.write_text("[]", encoding="utf-8")),
        ("export/model.xml", Path.unlink),
        ("export/model.xml", cut),
        ("export/model.bin", Path.unlink),
        ("export/model.bin", flipped),
    ],
)
def test_a_damaged_export_is_said_and_the_network_runs(scan, model, file, damage, capsys):
    damage(model / file)
    said, volumes = predict(scan, model)
    assert said["export"] == "PyTorch fp32"
    for words in (said["export_not_used"], capsys.readouterr().err):
        assert f"{model / 'export'}" in words
        assert ": expected " in words
        assert ", found " in words
    assert volumes == by_network(scan, model)


def test_an_export_that_its_runtime_cannot_read_is_no_traceback(scan, model):
    """Rewritten together with its description, so that the hashes agree."""
    (model / "export" / "model.xml").write_text("<net/>", encoding="utf-8")
    files = {name: sha256(model / "export" / name) for name in ("model.xml", "model.bin")}
    edited(files=files)(model / "export" / "export.json")
    said, _ = predict(scan, model)
    assert "openvino reads" in said["export_not_used"]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("package.json", Path.unlink),
        ("package.json", cut),
        ("package.json", lambda path: path.write_text("[]", encoding="utf-8")),
        ("package.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("package.json", edited(format=None)),
        ("package.json", edited(format=2)),
        ("package.json", edited(format="1")),
        ("package.json", edited(settings=None)),
        ("package.json", edited(settings={"postprocess": {}})),
        ("package.json", edited(nobody="knows")),
        ("model.json", Path.unlink),
        ("model.json", cut),
        ("model.json", edited(family="transformer")),
        ("model.json", edited(family=None)),
        ("model.json", edited(network=None)),
        ("model.json", edited(network={})),
        ("model.json", edited(target={"scheme": "colours"})),
        ("model.json", lambda path: path.write_text('"text"', encoding="utf-8")),
        ("model.safetensors", Path.unlink),
        ("model.safetensors", cut),
        ("appearance.json", cut),
    ],
)
def test_a_damaged_model_is_an_error_that_names_the_file(scan, model, file, damage, capsys):
    damage(model / file)
    out = scan.parent / "out"
    assert cli.main(["predict", str(scan), "-o", str(out), "-m", str(model)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {model / file}")
    assert ": expected " in said
    assert ", found " in said
    assert not out.exists()
