"""What a killed DVC leaves is put right, and one that is alive is named and left alone."""

import json
import os
import signal
import subprocess

import psutil
import pytest
import yaml
from conftest import ROOT
from dvc.schema import COMPILED_LOCKFILE_SCHEMA

from spinalroots.errors import InputError
from spinalroots.files import write_json
from spinalroots.pipeline import interrupted

WHOLE = """\
schema: '2.0'
stages:
  split:
    cmd: bin/stage split
    deps:
    - path: data/refined
      hash: md5
      md5: 2065172ba6898c4d3fedff3cff0219b9.dir
      size: 29418090
      nfiles: 106
    outs:
    - path: data/split.json
      hash: md5
      md5: c9cf987a37d32c91df13c5e57f920504
      size: 1093
"""
HELD = {"write": {"/x/data/refined": {"pid": 2**22 + 1, "cmd": "dvc repro"}}, "read": {}}


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(WHOLE)
    return tmp_path


def test_a_repository_that_nobody_disturbed_stays_as_it_is(repository):
    write_json(repository / ".dvc/tmp/rwlock", {"write": {}, "read": {}})
    assert interrupted.mended(repository) == []
    assert (repository / "dvc.lock").read_text() == WHOLE
    (repository / "dvc.lock").write_bytes((ROOT / "dvc.lock").read_bytes())
    assert interrupted.mended(repository) == []


def test_a_dvc_lock_cut_anywhere_is_as_before_the_stage_again(repository, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "split")
    interrupted.keep(repository)
    for place in range(0, len(WHOLE)):
        (repository / "dvc.lock").write_text(WHOLE[:place])
        told = interrupted.mended(repository)
        now = (repository / "dvc.lock").read_text()
        if told:
            assert now == WHOLE
        else:  # DVC can work with it, and does the stage again if need be
            assert now == WHOLE[:place]
            assert COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(now))
    assert "half-written" in "".join(told)


def test_without_a_copy_the_last_commit_counts_and_without_one_dvc_begins_anew(repository):
    lock = repository / "dvc.lock"
    lock.write_text(WHOLE[:100])
    assert "removed" in interrupted.mended(repository)[0]
    assert not lock.exists()
    lock.write_text(WHOLE)
    for line in ("init -q", "add dvc.lock", "-c user.name=a -c user.email=a@b commit -qm a"):
        subprocess.run(["git", *line.split()], cwd=repository, check=True)
    lock.write_text(WHOLE[:100])
    assert "last commit" in interrupted.mended(repository)[0]
    assert lock.read_text() == WHOLE


@pytest.mark.parametrize("content", [json.dumps(HELD), json.dumps(HELD)[:40], ""])
def test_a_lock_of_a_dead_process_is_removed_and_named(content, repository):
    held = repository / ".dvc/tmp/rwlock"
    held.write_text(content)
    (told,) = interrupted.mended(repository)
    assert not held.exists()
    assert "half-written" in told or "data/refined" in told


def test_a_stage_forgets_locks_of_the_dead_and_keeps_those_of_the_living(repository, monkeypatch):
    mine, dead = {"pid": os.getpid(), "cmd": "dvc repro"}, HELD["write"]["/x/data/refined"]
    held = repository / ".dvc/tmp/rwlock"
    write_json(held, {"write": {"a": dead, "b": mine}, "read": {"c": [dead], "d": [dead, mine]}})
    monkeypatch.setenv("DVC_STAGE", "split")
    interrupted.keep(repository)
    assert json.loads(held.read_text()) == {"write": {"b": mine}, "read": {"d": [mine]}}


def test_a_number_that_another_program_has_now_is_no_lock(repository):
    reused = {"write": {"/x/data": {"pid": os.getppid(), "cmd": "dvc repro"}}, "read": {}}
    write_json(repository / ".dvc/tmp/rwlock", reused)
    assert len(interrupted.mended(repository)) == 1


def test_an_experiment_in_a_copy_is_not_in_the_way(repository):
    words = "exec -a dvc bash -c 'sleep 60; true' exp run --temp"
    aside = subprocess.Popen(["bash", "-c", words], cwd=repository, start_new_session=True)
    try:
        while "--temp" not in psutil.Process(aside.pid).cmdline():
            assert aside.poll() is None
        assert interrupted.mended(repository) == []
    finally:
        os.killpg(aside.pid, signal.SIGKILL)
        aside.wait()


def test_a_dvc_at_work_is_named_and_nothing_is_touched(repository):
    held = repository / ".dvc/tmp/rwlock"
    held.write_text("{")
    alive = subprocess.Popen(["bash", "-c", "exec -a dvc sleep 60"], cwd=repository)
    try:
        while next(interrupted.at_work(repository), None) is None:
            assert alive.poll() is None
        with pytest.raises(InputError, match=rf"process {alive.pid}.*kill {alive.pid}"):
            interrupted.mended(repository)
        assert held.read_text() == "{"
    finally:
        alive.kill()
        alive.wait()
    assert len(interrupted.mended(repository)) == 1
