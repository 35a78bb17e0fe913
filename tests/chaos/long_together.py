"""Two at once: each waits or says so, and nothing is lost. `make chaos` runs this file too."""

import json
import subprocess
import sys
import time

import mlflow
import pytest
from conftest import ROOT
from lab_scans import lab_folder
from scan_files import nifti, tube
from small_model import write_packaged, write_scan
from test_queue import PARAMETERS, PIPELINE, TRAIN
from test_remotes import Machine

from spinalroots.pipeline import tracking

WRITERS, STEPS = 8, 40


WRITER = f"""
import sys
import mlflow
from spinalroots.pipeline import tracking

number = int(sys.argv[1])
with tracking.run(f"run-{{number}}", kind="training", params={{"number": number}}):
    for step in range({STEPS}):
        mlflow.log_metric("loss", step + number, step=step)
"""


def test_eight_writers_of_one_new_mlflow_store_lose_no_step(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(number)]) for number in range(WRITERS)
    ]
    assert [each.wait(timeout=300) for each in writers] == [0] * WRITERS
    mlflow.set_tracking_uri(tracking.tracking_uri())
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert sorted(run.info.run_name for run in found) == [f"run-{n}" for n in range(WRITERS)]
    assert {run.info.status for run in found} == {"FINISHED"}
    for run in found:
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
        first = int(run.data.params["number"])
        assert sorted((entry.step, entry.value) for entry in history) == [
            (step, step + first) for step in range(STEPS)
        ]


@pytest.fixture(scope="module")
def model(tmp_path_factory, smoke_params):
    return write_packaged(tmp_path_factory.mktemp("model") / "small", smoke_params)


def test_two_predictions_into_one_folder_leave_all_of_each(model, tmp_path):
    scans = [write_scan(tmp_path / f"{name}.nii.gz", seed) for seed, name in enumerate("ab")]
    nifti(tmp_path / "c.nii.gz", tube())
    command = [sys.executable, "-m", "spinalroots", "predict", "-m", str(model)]
    jobs = ([*scans], [scans[1], tmp_path / "c.nii.gz"])  # b in both
    started = [
        subprocess.Popen(
            [*command, *map(str, some), "-o", str(tmp_path / "both")],
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for some in jobs
    ]
    said = [each.communicate()[1] for each in started]
    assert [each.returncode for each in started] == [0, 0], said
    one = [*command, *(str(tmp_path / f"{name}.nii.gz") for name in "abc")]
    subprocess.run([*one, "-o", str(tmp_path / "one")], check=True)
    names = [
        sorted(path.name for path in (tmp_path / place).rglob("*")) for place in ("both", "one")
    ]
    assert names[0] == names[1]
    for path in (tmp_path / "one").glob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "both" / path.name).read_bytes(), path.name


@pytest.fixture
def project(tmp_path) -> Machine:
    """A pipeline of one stage that takes a few seconds."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_bytes((ROOT / ".dvc/config").read_bytes())
    slow = TRAIN.replace("    for step", "    import time; time.sleep(20)\n    for step")
    text = {"dvc.yaml": PIPELINE, "params.yaml": PARAMETERS, "train.py": slow}
    for name, content in text.items():
        (folder / name).write_text(content)
    machine = Machine(folder, {})
    machine.run("git", "init", "-q", "-b", "main")
    return machine


def begun(project) -> subprocess.Popen:
    """A `dvc repro` that has begun its stage."""
    first = subprocess.Popen(["dvc", "repro"], cwd=project.folder, env=project.environment)
    held = project.folder / ".dvc/tmp/rwlock"
    while not (held.is_file() and "train.py" in held.read_text()):
        assert first.poll() is None
        time.sleep(0.05)
    return first


def test_an_ingest_during_a_training_goes_in_and_under_dvc(project, tmp_path):
    training = begun(project)
    said = project.run("spinalroots", "ingest", str(lab_folder(tmp_path / "lab", seed=1)))
    assert "DVC holds it" in said.stdout
    assert training.poll() is None, "the training was too quick for this test"
    assert training.wait() == 0
    assert (project.folder / "data/raw/ingested.dvc").is_file()
    assert "up to date" in project.run("dvc", "status").stdout


def test_of_two_repros_the_second_says_who_is_at_work_and_finds_the_result_later(project):
    first = begun(project)
    second = project.run("dvc", "repro", check=False)
    assert second.returncode
    assert str(first.pid) in second.stderr
    mend = project.run(sys.executable, "-m", "spinalroots.storage", "mend", check=False)
    assert mend.returncode == 2
    assert f"process {first.pid}" in mend.stderr
    assert first.wait() == 0
    assert "up to date" in project.run("dvc", "repro").stdout
    assert json.loads((project.folder / "metrics.json").read_text())
