"""Work side by side: in order, by every row, never longer than the process that asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from spinalroots.compute.energy import Consumption, EnergyMeter
from spinalroots.compute.environment import variables
from spinalroots.compute.parallel import at_once, each
from spinalroots.pipeline import params as parameters
from spinalroots.registry.models import MODELS
from spinalroots.stages import __main__ as stages
from spinalroots.stages import train_nnunet

ENDLESS = """
import os, sys, time
from pathlib import Path
from spinalroots.compute.parallel import each

def work(name):
    Path(name).write_text(str(os.getpid()))
    time.sleep(600)

each(work, [("first",), ("second",)], 2, "endless")
"""


def test_results_come_in_the_order_of_the_jobs_from_processes_that_know_of_each_other():
    def work(number):
        time.sleep(0.2 * (3 - number))
        return number, os.getpid(), at_once()

    found = each(work, [(number,) for number in range(4)], 2, "work")
    assert [number for number, *_ in found] == [0, 1, 2, 3]
    assert os.getpid() not in {process for _, process, _ in found}
    assert {told for *_, told in found} == {2}
    assert at_once() == 1


def test_a_single_worker_works_in_this_process():
    assert each(lambda: (os.getpid(), at_once()), [()], 4, "work") == [(os.getpid(), 1)]


def test_processes_end_with_the_one_that_is_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", ENDLESS], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    files = [tmp_path / "first", tmp_path / "second"]
    deadline = time.monotonic() + 60
    while not all(file.is_file() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = [psutil.Process(int(file.read_text())) for file in files]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    for process in alive:
        process.kill()
    assert alive == []


def test_energy_is_shared_and_time_is_not():
    assert Consumption(60.0, 3.0, 1.5).shared(3) == Consumption(60.0, 1.0, 0.5)


def test_a_meter_counts_its_own_workers_whole_and_shares_with_those_beside_it():
    own = EnergyMeter("CHE")
    assert each(lambda: EnergyMeter("CHE").shared_by, [(), ()], 2, "work") == [2, 2]
    with variables({"SPINALROOTS_AT_ONCE": 2}):  # as while its workers run
        assert own.shared_by == 1


def test_a_stage_without_a_row_does_every_row_and_with_one_that_row_alone(
    smoke_params, monkeypatch
):
    alone = smoke_params.nnunet.model_copy(update={"rows_at_once": 1})
    given = smoke_params.model_copy(update={"nnunet": alone})
    monkeypatch.setattr(parameters, "load", lambda *_, **__: given)
    done = []
    monkeypatch.setattr(train_nnunet, "main", lambda _, row: done.append(row))
    for arguments in (["train_nnunet"], ["train_nnunet", "all-levels"]):
        monkeypatch.setattr(sys, "argv", ["stage", *arguments])
        assert stages.main() == 0
    rows = [model.row for model in MODELS.values() if model.family == "nnunet"]
    assert done == [*rows, "all-levels"]
