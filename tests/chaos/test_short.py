"""A few kills of real commands; `make chaos` does the same to every stage, a hundred times."""

import shutil

import pytest
from commands import Command
from conftest import ROOT
from killing import Moment, ended
from lab_scans import lab_folder
from trying import Undisturbed, again
from workspace import Workspace

from spinalroots.cli import main

pytestmark = pytest.mark.chaos


@pytest.fixture
def ingest(tmp_path):
    """A DVC repository that two patients are to be brought into; what an ingest leaves there."""
    work = Workspace(tmp_path)
    (work.folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, work.folder / name)
    work.run("git", "init", "-q")
    for number in (1, 2):
        lab_folder(tmp_path / "lab" / f"patient{number}", seed=number)
    outs = ["data/raw/ingested", "data/raw/ingested.dvc"]
    line = ["spinalroots", "ingest", str(tmp_path / "lab")]
    command = Command("ingest", line, work.folder, outs)
    work.sources = ROOT / "src"
    return work, command


def test_a_make_inside_does_not_take_the_words_of_the_make_outside(tmp_path, monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", r" -- ARGS=--seed\ 7")
    monkeypatch.setenv("ARGS", "--seed 7")
    work = Workspace(tmp_path)
    work.folder.mkdir(parents=True, exist_ok=True)
    (work.folder / "Makefile").write_text("pull:\n\t@echo [$(ARGS)]\n", encoding="utf-8")
    assert work.run("make", "pull").stdout == "[]\n"


def test_a_killed_ingest_is_finished_by_the_same_command(ingest, tmp_path):
    work, command = ingest
    assert work.run(*command.line).returncode == 0
    was = Undisturbed.of(command, tmp_path / "aside")
    # Among the last changes DVC writes its list of locks and the record of the folder.
    for how, changes in (("kill -9", 2), ("kill -9", 5), ("kill -9", 6), ("Ctrl-C", 8)):
        shutil.rmtree(work.folder / "data")
        shutil.rmtree(work.folder / ".dvc/cache")
        moment = Moment(how, 0.0, changes)
        hit = ended(
            command.line,
            moment,
            work.folder,
            work.environment(),
            command.watched,
            tmp_path / "log",
        )
        faults = [hit.fault, *again(work, command, was)]
        assert not any(faults), f"{moment}: {faults}"


def test_what_a_kill_kept_from_dvc_gets_there_by_the_same_command(ingest, monkeypatch, capsys):
    work, command = ingest
    monkeypatch.chdir(work.folder)
    assert main([*command.line[1:], "--no-dvc"]) == 0
    assert main([*command.line[1:]]) == 0
    assert "stopped early" in capsys.readouterr().out
    assert (work.folder / "data/raw/ingested.dvc").is_file()
    assert main([*command.line[1:]]) == 2
