import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

from spinalroots import cli
from spinalroots.stages import STAGES


def spinalroots(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "spinalroots", *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from spinalroots.cli import build_parser; build_parser().format_help();"
        "print([m for m in ('torch', 'mlflow', 'nnunetv2', 'scipy', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert result.stdout.strip() == "[]"


def test_every_stage_of_the_pipeline_can_be_run_and_exists():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert tuple(stages) == STAGES
    for name in stages:
        assert (ROOT / "src" / "spinalroots" / "stages" / f"{name}.py").is_file()


def test_labels_prints_all_roots_without_loading_anything(capsys):
    assert cli.main(["labels", "individuals"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 121
    assert lines[89].startswith("89\tL3_D_L\t#")


@pytest.mark.parametrize("scale", ["smoke", "laptop", "gpu", "paper"])
def test_params_prints_the_scale_in_force(scale, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.main(["params", "--scale", scale]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["scale"] == scale
    assert "scales" not in printed


def test_an_unknown_parameter_ends_with_exit_code_2(tmp_path):
    record = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    record["augment"]["rotatoin"] = 3
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    result = spinalroots("stage", "augment", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: params.yaml: augment.rotatoin: expected")
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "conf"}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["train_nnunet", "all-level"], "Did you mean 'all-levels'"),
        (["phantom", "all-levels"], "expected no row"),
    ],
)
def test_a_stage_with_a_wrong_or_needless_row_is_refused(arguments, found, capsys):
    assert cli.main(["stage", *arguments]) == 2
    assert found in capsys.readouterr().err


def test_a_command_that_does_not_exist_ends_with_exit_code_2():
    assert spinalroots("fly").returncode == 2


def test_a_locale_without_unicode_still_gets_the_error_and_its_exit_code(tmp_path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    scan = tmp_path / "Größe ≤ 3 mm.nii.gz"
    result = subprocess.run(
        [sys.executable, "-m", "spinalroots", "predict", os.fsencode(scan), "-o", tmp_path / "out"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(b"error: ")
