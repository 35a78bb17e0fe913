"""A real Dask cluster: the same bytes as here, also when a worker is killed on the way."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from remote_servers import answering, free_port
from test_same_bytes import change, small

from spinalroots.compute import cluster
from spinalroots.compute.cluster import on_cluster
from spinalroots.compute.parallel import each
from spinalroots.errors import InputError
from spinalroots.stages import __main__ as stages

STAGE_RUNS = ("phantom", "refine")
CASES = 3


def start(folder: Path, *command: str) -> subprocess.Popen:
    """A part of Dask, as a process group of its own."""
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("ab"),
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """Address of a scheduler on loopback, and its two workers."""
    folder, port = tmp_path_factory.mktemp("dask"), free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = start(
        folder, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"
    )
    worker = partial(start, folder, "worker", address, "--nthreads", "1", "--no-dashboard")
    workers = [worker("--host", "127.0.0.1", "--name", name) for name in ("one", "two")]
    processes = [scheduler, *workers]
    try:
        answering(port, scheduler)
        yield address, workers
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def project(folder: Path, address: str = "") -> Path:
    """The parameter files, for a few coarse phantoms."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "params.yaml", folder)

    def edit(own: dict) -> None:
        small(own, 1)
        own["phantom"].update(cases=CASES, in_plane_mm=[2.0, 2.1], slice_mm=[4.0, 4.2], subvoxels=1)
        own["compute"] = {"dask": address}

    change(folder / "params.yaml", edit)
    return folder


def run(folder: Path, monkeypatch) -> dict[str, bytes]:
    """What the stages write: path → bytes."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    for name in STAGE_RUNS:
        stages.run(
            argparse.Namespace(
                name=name, row=None, strict=False, params=Path("params.yaml"), scale=None
            )
        )
    written = [*(folder / "data").rglob("*"), *(folder / "reports").rglob("*")]
    return {str(one.relative_to(folder)): one.read_bytes() for one in written if one.is_file()}


def test_a_killed_worker_changes_no_byte(dask, tmp_path, monkeypatch):
    address, workers = dask
    here = run(project(tmp_path / "here"), monkeypatch)
    away = project(tmp_path / "away", address)
    watching = subprocess.Popen(
        [sys.executable, "-c", KILL_WHEN_A_CASE_IS_THERE, str(workers[0].pid), str(away)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    there = run(away, monkeypatch)
    done = int(watching.communicate(timeout=60)[0])
    assert 0 < done < CASES
    assert workers[0].wait(5) == -signal.SIGKILL
    assert len(here) > 40
    assert there.keys() == here.keys()
    assert [path for path in here if here[path] != there[path]] == []


KILL_WHEN_A_CASE_IS_THERE = """
import os, signal, sys, time
from pathlib import Path
for _ in range(4000):
    done = len(list(Path(sys.argv[2]).glob("data/raw/.*/new/sub-*/anat/*_T2w.json")))
    if done:
        os.killpg(int(sys.argv[1]), signal.SIGKILL)
        break
    time.sleep(0.01)
print(done)
"""


def test_an_error_keeps_its_four_parts_on_the_way_back(dask):
    me = os.getpid()

    def refuse():
        assert os.getpid() != me
        raise InputError("a case", expected="one thing", found="another", fix="Mend it.")

    with on_cluster(dask[0]), pytest.raises(InputError, match="a case: expected one thing"):
        each(refuse, [()], 1, "refuse", quiet=True)


def test_a_worker_with_other_code_refuses_to_work(dask):
    me = os.getpid()

    def facts():
        return {"code": "new" if os.getpid() == me else "old"}

    with (
        on_cluster(dask[0], facts),
        pytest.raises(InputError, match=r"expected code new.*found old"),
    ):
        each(os.getpid, [()], 1, "ask", quiet=True)


def test_a_worker_that_does_not_see_the_folder_says_so(dask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster.os, "getcwd", lambda: "/not/here")
    with on_cluster(dask[0]), pytest.raises(InputError, match="the folder /not/here"):
        each(os.getpid, [()], 1, "ask", quiet=True)


def test_a_job_that_kills_its_workers_is_told(dask):
    with on_cluster(dask[0]), pytest.raises(InputError, match="workers died"):
        each(os._exit, [(1,)], 1, "fatal", quiet=True)


def test_a_missing_scheduler_is_an_input_error(monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.3)
    with pytest.raises(InputError, match=r"compute\.dask"), on_cluster("tcp://127.0.0.1:1"):
        pass


def test_the_address_is_a_parameter_and_empty_by_default(smoke_params):
    assert smoke_params.compute.dask == ""
    assert "compute" in yaml.safe_load((ROOT / "conf/expert.yaml").read_text(encoding="utf-8"))
