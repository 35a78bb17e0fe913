"""The study: budgets hold, dead trials do not end it, and a killed study goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from postgres_server import postgres

from spinalroots.errors import InputError
from spinalroots.hardnet.data.stacks import StoredStacks, write_stack
from spinalroots.hardnet.training.plan import TrainingPlan
from spinalroots.hardnet.tuning import study as tuning
from spinalroots.hardnet.tuning.process import BEHIND, OVER_BUDGET, execute, watch
from spinalroots.hardnet.tuning.report import write_report
from spinalroots.hardnet.tuning.study import (
    StudySetup,
    best_trial,
    feasible,
    finished,
    open_study,
    run_next,
    search_space,
)
from spinalroots.hardnet.tuning.trial import TRAINING, VALIDATION
from spinalroots.pipeline import params
from spinalroots.settings.hardnet import Tunable

sys.path.insert(0, str(Path(__file__).parent))
from test_hardnet_trainer import TARGET, plan, stack

ROOT = Path(__file__).parents[1]


def setup(folder: Path, **tune_changes) -> StudySetup:
    whole = params.load(ROOT / "params.yaml", scale="smoke")
    tune = whole.tune.model_copy(
        update={
            "trials": 4,
            "trial_megavoxels": 0.008,
            "patch_vox": [8, 16],
            "batch": [4, 8],
            "memory_budget_mb": 1000.0,
            **tune_changes,
        }
    )
    untuned = TrainingPlan(plan().recipe, whole.hardnet.untuned, TARGET, seed=3)
    return StudySetup(untuned, tune, folder / "stacks", folder)


def pretend(request, path, *, timeout_s, budget_mb, dice_to_reach):
    """A trial without a process: bigger patches and batches score higher and need more memory."""
    tuned = request["plan"]["tuned"]
    size = tuned["patch_vox"] * tuned["batch"]
    peak = 10.0 * size
    if peak > budget_mb:
        return {"peak_memory_mb": peak, "outcome": OVER_BUDGET}
    return {"dice": size / 200, "dice_levels": 0.1, "peak_memory_mb": peak, "outcome": "complete"}


def study_of(folder: Path, monkeypatch, **changes) -> tuple[optuna.Study, StudySetup]:
    monkeypatch.setattr(tuning, "execute", pretend)
    where = setup(folder, **changes)
    study = open_study(where, "test")
    while len(finished(study)) < where.tune.trials:
        run_next(study, where)
    return study, where


def test_a_real_trial_trains_and_measures_its_own_process(tmp_path):
    where = setup(tmp_path)
    for number, part in enumerate((TRAINING, TRAINING, VALIDATION)):
        write_stack(where.stacks / part / f"{number}.npz", stack(number))
    values = {"patch_vox": 16, "batch": 4, "neighbours": 2, "learning_rate": 0.02}
    found = execute(
        tuning.request(where, values),
        tmp_path / "trial-0.json",
        timeout_s=200,
        budget_mb=4000,
        dice_to_reach=None,
    )
    assert found["outcome"] == "complete", found
    assert 0 <= found["dice"] <= 1
    assert 100 < found["peak_memory_mb"] < 4000


def test_stacks_survive_the_disk(tmp_path):
    for number in (1, 0):
        write_stack(tmp_path / f"{number}.npz", stack(number))
    stored = StoredStacks(tmp_path)
    assert [one.name for one in stored] == ["case0", "case1"]
    assert len(stored) == 2
    for name, value in vars(stack(1)).items():
        np.testing.assert_array_equal(getattr(stored[1], name), value)


def test_the_best_trial_respects_the_budget_and_a_smaller_budget_changes_it(tmp_path, monkeypatch):
    found = {}
    for budget in (1000.0, 500.0):
        folder = tmp_path / str(budget)
        study, _ = study_of(folder, monkeypatch, trials=12, memory_budget_mb=budget)
        record = write_report(study, folder / "report", budget, {})
        assert record["feasible"]
        assert record["peak_memory_mb"] <= budget
        found[budget] = record["params"]["patch_vox"] * record["params"]["batch"]
    assert found[500.0] < found[1000.0]


def test_trials_over_the_budget_are_infeasible_and_the_study_goes_on(tmp_path, monkeypatch):
    study, _ = study_of(tmp_path, monkeypatch, trials=8, memory_budget_mb=400.0)
    over = [trial for trial in finished(study) if not feasible(trial)]
    assert over
    assert all(trial.user_attrs["outcome"] == OVER_BUDGET for trial in over)
    assert len(finished(study)) == 8
    assert feasible(best_trial(study))


def test_without_a_feasible_trial_the_fallback_is_named_as_such(tmp_path, monkeypatch):
    study, _ = study_of(tmp_path, monkeypatch, memory_budget_mb=1.0)
    record = write_report(study, tmp_path / "report", 1.0, {"batch": 2})
    assert record["params"] == {"batch": 2}
    assert not record["feasible"]


@pytest.mark.parametrize(
    "code",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import numpy as np; np.empty(2**52)",
        "import sys; sys.exit('RuntimeError: CUDA error: out of memory')",
    ],
)
def test_a_trial_out_of_memory_is_infeasible_and_the_study_goes_on(code, tmp_path, monkeypatch):
    real = subprocess.Popen

    def doomed(command, **options):
        return real([sys.executable, "-c", code], **options)

    monkeypatch.setattr(subprocess, "Popen", doomed)
    where = setup(tmp_path, trials=2)
    study = open_study(where, "test")
    for _ in range(2):
        trial = run_next(study, where)
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs["outcome"] == "out of memory"
        assert not feasible(trial)


def test_a_killed_study_goes_on_and_ends_like_an_undisturbed_one(tmp_path, monkeypatch):
    code = (
        "import sys, pathlib, os, signal; sys.path.insert(0, sys.argv[1])\n"
        "import test_tuning as t\n"
        "def die(request, path, **options):\n"
        "    if path.name == 'trial-2.json': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return t.pretend(request, path, **options)\n"
        "t.tuning.execute = die\n"
        "where = t.setup(pathlib.Path(sys.argv[2])); study = t.open_study(where, 'test')\n"
        "for _ in range(4): t.run_next(study, where)\n"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "one")]
    killed = subprocess.run(arguments, capture_output=True, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    resumed, _ = study_of(tmp_path / "one", monkeypatch)
    whole, _ = study_of(tmp_path / "two", monkeypatch)
    tried = [[trial.params for trial in finished(study)] for study in (resumed, whole)]
    assert tried[0] == tried[1]
    assert [trial.state for trial in resumed.trials].count(TrialState.FAIL) == 1


def test_a_line_tells_when_to_stop():
    def lines(*records):
        return [json.dumps({"peak_memory_mb": 100, **record}) for record in records]

    step = {"event": "step", "step": 1, "loss": 1.0}
    half = {"event": "halfway", "dice": 0.3}
    end = {"event": "end", "dice": 0.6}
    assert watch(lines(step), {}, 50, None) == OVER_BUDGET
    assert watch(lines(step, half, end), {}, 500, 0.4) == BEHIND
    figures: dict = {}
    assert watch(lines(step, half, end), figures, 500, 0.2) is None
    assert (figures["dice_halfway"], figures["dice"]) == (0.3, 0.6)


def test_a_listed_value_is_searched_unless_the_network_has_no_use_for_it():
    where = setup(Path("unused"))
    space = search_space(where.plan.recipe, where.tune)
    assert "patch_slices" not in space
    assert set(space) == set(Tunable.model_fields) - {"patch_slices"}


WITH_START = {"patch_vox": [8, 24], "batch": [8, 16]}
"""Lists that hold the values of `untuned`, which the first trial tries."""


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path) -> Iterator[str]:
    """An empty data base that several processes can share."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'study.db'}"
        open_study(setup(tmp_path, storage=url), "test")  # a file is no place to meet in
        yield url
    else:
        with postgres() as url:
            yield url


def test_machines_that_ask_at_once_get_different_trials(storage, tmp_path):
    """Two processes that share a study, each with a trial that the other has not ended yet.

    In PostgreSQL they also make its tables at once.
    """
    code = (
        "import sys, pathlib, time; sys.path.insert(0, sys.argv[1])\n"
        "import test_tuning as t\n"
        "folder, own, other = (pathlib.Path(word) for word in sys.argv[2:5])\n"
        "where = t.setup(folder, storage=sys.argv[5], **t.WITH_START)\n"
        "study = t.open_study(where, 'test')\n"
        "for number in range(3):\n"
        "    trial, values = t.tuning.ask(study, where)\n"
        "    print(t.json.dumps([trial.number, values]), flush=True)\n"
        "    pathlib.Path(f'{own}{number}').touch()\n"
        "    until = time.monotonic() + 100\n"
        "    while not pathlib.Path(f'{other}{number}').exists() and time.monotonic() < until:\n"
        "        time.sleep(0.01)\n"
        "    study.tell(trial, [0.5, 100.0])\n"
    )
    marks = [str(tmp_path / "one"), str(tmp_path / "two")]
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path), *pair, storage],
            stdout=subprocess.PIPE,
        )
        for pair in (marks, marks[::-1])
    ]
    told = [
        json.loads(line)
        for process in asking
        for line in process.communicate(timeout=120)[0].decode().splitlines()
    ]
    assert sorted(number for number, _ in told) == list(range(6))
    tried = [json.dumps(values) for _, values in told]
    assert len(set(tried)) == 6
    if storage.startswith("postgresql"):
        assert trials_in(storage) == sorted(number for number, _ in told)
    start = setup(tmp_path).plan.tuned.model_dump()
    assert [number for number, values in told if values.items() <= start.items()] == [0]


def trials_in(url: str) -> list[int]:
    """Numbers of the completed trials, as the data base has them."""
    import psycopg

    with psycopg.connect(url) as connection:
        rows = connection.execute("select number from trials where state = 'COMPLETE'").fetchall()
    return sorted(number for (number,) in rows)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://lab:hidden@127.0.0.1:1/studies", "Start it"),
        ("nosuchbase://lab:hidden@127.0.0.1/studies", "Install its driver"),
        ("what is this", "correct the address"),
    ],
)
def test_a_data_base_that_cannot_be_used_is_told_without_its_password(url, told, tmp_path):
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="no driver for PostgreSQL (spinalroots[servers])")
    with pytest.raises(InputError) as found:
        open_study(setup(tmp_path, storage=url), "test")
    assert found.value.where == "tune.storage"
    assert told in str(found.value)
    assert "hidden" not in str(found.value)


def test_report_files_are_all_there(tmp_path, monkeypatch):
    study, _ = study_of(tmp_path, monkeypatch)
    write_report(study, tmp_path / "report", 1000.0, {})
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"best_params.json", "trials.csv", "pareto.png", "importance.png"}


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
