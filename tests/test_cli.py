import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

from spinalroots import cli


def spinalroots(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "spinalroots", *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from spinalroots.cli import build_parser; build_parser().format_help();"
        "print([m for m in ('torch', 'mlflow', 'nnunetv2', 'scipy', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_every_stage_of_the_pipeline_can_be_run_and_exists():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert tuple(stages) == cli.STAGES
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
    record = yaml.safe_load((ROOT / "params.yaml").read_text())
    record["augment"]["rotatoin"] = 3
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(record))
    result = spinalroots("stage", "augment", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: params.yaml: augment.rotatoin: expected")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_command_that_does_not_exist_ends_with_exit_code_2():
    assert spinalroots("fly").returncode == 2
