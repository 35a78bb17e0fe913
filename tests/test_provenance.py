"""What a result depends on: held against what Python itself loads, and against DVC's own word."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from dvc.repo import Repo
from pipeline import Copy

from spinalroots.pipeline import provenance
from spinalroots.stages import STAGES

SRC = ROOT / "src"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of the real one: write(name, source) makes a module of it."""
    root = tmp_path / "spinalroots"
    root.mkdir()
    monkeypatch.setattr(provenance, "SOURCES", root)

    def forget():
        for cached in (provenance.modules, provenance.imports, provenance._meaning):
            cached.cache_clear()

    def write(name: str, source: str) -> None:
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source, encoding="utf-8")
        forget()

    yield write
    monkeypatch.undo()
    forget()


def test_the_closure_follows_every_way_of_importing(package):
    package("a", "from spinalroots import b\nimport spinalroots.room.c\n")
    package("b", "def f():\n    from spinalroots.d import thing\n")
    package("room/c", "from .e import x\nfrom . import f\nfrom .. import g\n")
    for name in ("d", "room/e", "room/f", "g", "unused"):
        package(name, "")
    found = provenance.closure(["spinalroots.a"])
    wanted = {"a", "b", "d", "g", "room", "room.c", "room.e", "room.f"}
    assert set(found) == {"spinalroots", *(f"spinalroots.{name}" for name in wanted)}


def test_a_module_that_another_process_is_started_on_belongs_to_the_closure(package):
    package("a", 'COMMAND = ["python", "-m", "spinalroots.b"]\n')
    package("b", "")
    assert "spinalroots.b" in provenance.closure(["spinalroots.a"])


def test_what_only_a_type_checker_reads_does_not_count(package):
    package(
        "a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spinalroots import b\n"
        "else:\n    from spinalroots import c\n",
    )
    package("b", "")
    package("c", "")
    found = provenance.closure(["spinalroots.a"])
    assert "spinalroots.b" not in found
    assert "spinalroots.c" in found


def test_a_key_changes_with_the_code_behind_it_and_with_nothing_else(package):
    package("a", "from spinalroots.b import half\n")
    package("b", '"""Halves."""\n\ndef half(x):\n    """x / 2"""\n    return x / 2\n')
    package("c", "x = 1\n")
    before = provenance.key(["spinalroots.a"], {"rate": 1})
    package("c", "x = 2\n")
    package("b", '"""Says it\notherwise."""\n# why\ndef half(x):\n    return (x / 2)\n')
    assert provenance.key(["spinalroots.a"], {"rate": 1}) == before
    package("b", "def half(x):\n    return x / 2 * 0\n")
    assert provenance.key(["spinalroots.a"], {"rate": 1}) != before


def test_a_key_changes_with_settings_data_and_libraries(package, tmp_path, monkeypatch):
    package("a", "import numpy\n")
    data = tmp_path / "data.bin"
    data.write_bytes(b"one")

    def key(**settings):
        return provenance.key(["spinalroots.a"], settings, [data])

    before = key(rate=1)
    assert key(rate=2) != before
    data.write_bytes(b"two")
    assert key(rate=1) != before
    data.write_bytes(b"one")
    assert key(rate=1) == before
    monkeypatch.setattr(provenance.metadata, "version", lambda name: "0.0.1")
    assert key(rate=1) != before


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Stage → modules of the package that Python loads for it, each in a process of its own."""
    code = f"""
import os, sys
import matplotlib, mlflow, nibabel, optuna, pandas, scipy, skimage, torch, yaml  # before the forks
import spinalroots.stages.__main__
for stage in {STAGES!r}:
    if os.fork() == 0:
        __import__(f"spinalroots.stages.{{stage}}")
        names = sorted(name for name in sys.modules if name.partition(".")[0] == "spinalroots")
        os.write(1, (" ".join([stage, *names]) + "\\n").encode())
        os._exit(0)
    os.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SRC,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=500,
    )
    return {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}


@pytest.mark.parametrize("stage", STAGES)
def test_the_closure_of_a_stage_holds_all_that_python_loads_for_it(stage, loaded):
    assert f"spinalroots.stages.{stage}" in loaded[stage]
    assert loaded[stage] <= set(provenance.stage_closure(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_the_code_of_every_stage_and_no_other(stage):
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    named = {name for name in pipeline[stage]["deps"] if not name.startswith(("data/", "models/"))}
    named = {name for name in named if not name.startswith("reports/")}
    assert named == set(provenance.stage_deps(stage)), "run bin/deps"


def test_dvc_notices_a_changed_line_in_any_room_of_any_stage(tmp_path):
    """DVC itself, on the project's own lists, with stages that do nothing."""
    copy = Copy(tmp_path)
    stages = {stage: {"cmd": "true", "deps": provenance.stage_deps(stage)} for stage in STAGES}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    (tmp_path / "dvc.lock").unlink()
    copy.run("dvc", "repro", "--quiet")
    rooms = sorted({name for stage in STAGES for name in provenance.stage_deps(stage)})
    for room in rooms:
        path = tmp_path / room
        behind = {
            stage: [m for m in provenance.stage_closure(stage) if _lies_in(m, room)]
            for stage in STAGES
        }
        module = next((m for found in behind.values() for m in found), None)
        if module is None:  # bin/stage and the lock of the libraries
            changed = path
        else:
            changed = tmp_path / "src" / provenance.modules()[module].relative_to(SRC)
        before = changed.read_bytes()
        changed.write_bytes(before + b"\n# one line more\n")
        status = _status(tmp_path)
        changed.write_bytes(before)
        for stage in STAGES:
            if module is None or module in behind[stage]:
                assert stage in status, f"{changed} is behind {stage}, and DVC says nothing"
    assert _status(tmp_path) == {}


def _status(folder) -> dict:
    """What `dvc status` says, without a process for each time it is asked."""
    with Repo(str(folder)) as repo:
        return {stage.rpartition(":")[2]: found for stage, found in repo.status().items()}


def _lies_in(module: str, room: str) -> bool:
    path = provenance.modules()[module].relative_to(ROOT).as_posix()
    return path == room or path.startswith(f"{room}/")
