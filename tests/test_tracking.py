import mlflow
import pytest
from processes import at_once

from spinalroots.pipeline import tracking


def runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


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
    (run,) = runs()
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
