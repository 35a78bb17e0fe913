import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import pytest
from processes import at_once

from spinalroots.pipeline import tracking
from spinalroots.pipeline.logged_data import Data


def runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


P = {"depth": 3}


def test_the_store_lies_at_the_real_repository_also_from_a_copy(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "real"))
    monkeypatch.chdir(tmp_path)
    assert tracking.tracking_uri() == f"sqlite:///{tmp_path / 'real' / 'mlflow.db'}"


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.tracking_uri() == "http://127.0.0.1:9"


def test_without_dvc_the_nearest_pipeline_above_counts(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert tracking.repository_root() == tmp_path


def test_a_run_carries_its_tags_and_parameters(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setenv("DVC_EXP_NAME", "calm-otter")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text(
        "stages:\n"
        "  augment:\n    outs: [{path: data/augmented, md5: abc.dir}]\n"
        "  train:\n    deps: [{path: data/augmented, md5: old.dir}, {path: src/x, md5: 1}]\n"
    )
    with tracking.run("a", kind="training", tags={"region": "all"}, params={"net": {"width": 2}}):
        pass
    (run,) = (run for run in runs() if run.info.run_name == "a")
    assert run.data.params == {"net.width": "2"}
    expected = {
        "kind": "training",
        "region": "all",
        "dvc.stage": "train",
        "dvc.experiment": "calm-otter",
        "data.data/augmented": "abc.dir",
    }
    assert expected.items() <= run.data.tags.items()


def test_a_killed_run_is_continued_and_a_finished_one_is_not(tmp_path):
    with pytest.raises(RuntimeError), tracking.run("a", kind="training", resume_key="k") as first:
        raise RuntimeError("killed")
    with tracking.run("a", kind="training", resume_key="k") as second:
        pass
    with tracking.run("a", kind="training", resume_key="k") as third:
        pass
    assert first.info.run_id == second.info.run_id != third.info.run_id
    assert len(runs()) == 2


def test_a_training_that_is_found_again_has_its_one_run_and_no_figure_twice(tmp_path):
    for _ in range(2):  # the second time after a kill that came before DVC took the result
        with tracking.run("a", kind="training", resume_key="k", state=tmp_path / "state"):
            tracking.log_once({"seconds": 3.0})
    (run,) = runs()
    assert run.info.status == "FINISHED"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "seconds")
    assert len(history) == 1
    shutil.rmtree(tmp_path / "state")  # nothing to find it by: it trains anew
    with tracking.run("a", kind="training", resume_key="k", state=tmp_path / "state"):
        pass
    assert len(runs()) == 2


def test_a_kill_right_after_a_run_began_leaves_none_without_its_tags(monkeypatch):
    def killed(*_):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        for name in ("set_tags", "log_params"):
            patch.setattr(mlflow, name, killed)
        with pytest.raises(RuntimeError), tracking.run("a", kind="x", params=P, resume_key="k"):
            pass
    with tracking.run("a", kind="x", params=P, resume_key="k"):
        pass
    (run,) = runs()
    assert run.data.tags["kind"] == "x"
    assert run.data.params == {"depth": "3"}


def test_an_epoch_that_was_logged_before_the_kill_is_not_logged_again():
    def train(epochs):
        with tracking.run("a", kind="training", resume_key="curve"):
            log = tracking.resumed_log()
            for epoch, loss in epochs:
                log({"loss": loss}, epoch)
                if epoch == 1 and loss == 0.5:
                    raise RuntimeError("killed before the checkpoint of epoch 1")

    with pytest.raises(RuntimeError):
        train([(0, 1.0), (1, 0.5)])
    train([(1, 0.6), (2, 0.3)])
    (run,) = runs()
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 1.0), (1, 0.5), (2, 0.3)]
    assert run.info.status == "FINISHED"


def test_a_new_store_may_lie_in_a_folder_with_quotes(tmp_path, monkeypatch):
    folder = tmp_path / 'Ärztin\'s "T2" scans'
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    with tracking.run("a", kind="training"):
        mlflow.log_text("kept", "note.txt")
    assert [path.read_text() for path in folder.rglob("note.txt")] == ["kept"]


def test_only_children_that_ended_well_count_as_finished():
    with tracking.run("study", kind="study"):
        with tracking.run("trial-0", kind="trial", nested=True):
            pass
        with pytest.raises(RuntimeError), tracking.run("trial-1", kind="trial", nested=True):
            raise RuntimeError("killed")
        assert tracking.finished_children() == {"trial-0"}
    with tracking.run("other", kind="study"):
        assert tracking.finished_children() == set()
        assert tracking.last_step("loss") == -1


def test_two_processes_can_open_a_new_store_at_once(tmp_path):
    def log():
        with tracking.run("a", kind="training"):
            mlflow.log_metric("loss", 1.0)

    assert at_once(log, log, log) == [0, 0, 0]
    mlflow.set_tracking_uri(tracking.tracking_uri())
    assert [run.info.status for run in runs()] == ["FINISHED"] * 3


STAGE = """
from spinalroots.pipeline import tracking
with tracking.run("{name}", kind="evaluation", params={{"net": {{"wide": True}}}}):
    with tracking.run("inner", kind="trial", nested=True):
        pass
"""


def started_by_dvc(tmp_path, *stages, environment=None):
    """Stages as DVC starts them: processes of one process that is called `dvc repro`."""
    dvc = tmp_path / "dvc"
    dvc.write_text(
        textwrap.dedent(
            """
            import subprocess, sys
            for code in sys.argv[2:]:
                subprocess.run([sys.executable, "-c", code], check=True)
            """
        ),
        encoding="utf-8",
    )
    subprocess.run(
        [sys.executable, str(dvc), "repro", *stages],
        check=True,
        cwd=tmp_path,
        env={**tracking.os.environ, **(environment or {})},
    )


def by_name():
    mlflow.set_tracking_uri(tracking.tracking_uri())
    return {run.info.run_name: run for run in runs()}


def test_all_runs_of_one_repro_lie_below_one_and_share_its_name(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    started_by_dvc(tmp_path, STAGE.format(name="a"), STAGE.format(name="b"))
    found = by_name()
    (parent,) = (run for name, run in found.items() if name.startswith("repro-"))
    for name in ("a", "b"):
        tags = found[name].data.tags
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert tags["dvc.run"] == parent.info.run_name
    assert found["inner"].data.tags["mlflow.parentRunId"] != parent.info.run_id
    assert found["inner"].data.tags["dvc.run"] == parent.info.run_name
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time >= max(found[name].info.end_time for name in ("a", "b"))
    one_filter = f"tags.`dvc.run` = '{parent.info.run_name}'"
    shown = mlflow.search_runs(
        search_all_experiments=True, filter_string=one_filter, output_format="list"
    )
    assert len(shown) == 5


def test_an_experiments_runs_lie_below_its_name_whoever_started_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "calm-otter")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "a" * 40)
    with tracking.run("mine", kind="evaluation"):
        pass
    started_by_dvc(tmp_path, STAGE.format(name="a"))
    found = by_name()
    parent = found["calm-otter"].info.run_id
    assert {found[name].data.tags["mlflow.parentRunId"] for name in ("mine", "a")} == {parent}


def test_a_killed_training_goes_on_below_the_run_that_ends_it(monkeypatch):
    def train(experiment, kill):
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
        with tracking.run("a", kind="training", resume_key="k"):
            if kill:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        train("first", kill=True)
    train("second", kill=False)
    found = by_name()
    assert set(found) == {"first", "second", "a"}
    assert found["a"].data.tags["mlflow.parentRunId"] == found["second"].info.run_id
    assert found["a"].data.tags["dvc.run"] == "second"


def test_a_run_names_its_data_with_dvcs_hash_and_what_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text(
        "stages: {refine: {outs: "
        "[{path: data/refined, md5: 0123456789abcdef0123456789abcdef.dir}]}}"
    )
    data = [Data(Path("data/refined"), ["sub-1", "sub-2"], ["background", "L3"], "training")]
    with tracking.run("a", kind="training", data=data):
        pass
    (found,) = runs()[0].inputs.dataset_inputs
    assert found.dataset.name == "data/refined"
    assert found.dataset.digest == "0123456789abcdef0123456789abcdef.dir"
    assert '"cases": 2, "classes": 2' in found.dataset.profile
    tags = {tag.key: tag.value for tag in found.tags}
    assert tags["mlflow.data.context"] == "training"
    assert (tags["cases"], tags["classes"]) == ("2", "2")


def test_what_a_model_was_trained_with_has_one_name_in_training_and_evaluation():
    settings = {"epochs": 10, "seed": 1}
    nnunet = {"settings": settings, "plans": {"planner": "small"}}
    assert tracking.training_parameters(nnunet) == {
        "training": settings,
        "plans_used": {"planner": "small"},
    }
    assert tracking.training_parameters({"settings": {"batch": 8}}) == {"batch": 8}
