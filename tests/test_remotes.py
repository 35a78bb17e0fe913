"""A new machine: data and models from a remote, as a person types it, and what may go wrong there.

A small repository stands for the project: its DVC configuration and its Makefile are the project's,
its outputs are a few files. `tests/test_pipeline.py` does the same with the pipeline's own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import remote_servers
import yaml
from conftest import ROOT
from pipeline import ELSEWHERE, IDENTITY

PIPELINE = """\
stages:
  train:
    cmd: python make.py
    deps: [make.py]
    outs: [models/hardnet-anatomy, data/refined]
"""
MAKE = """\
from pathlib import Path
import random
for name, seed, count in (("models/hardnet-anatomy", 1, 3), ("data/refined", 2, 4)):
    Path(name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Path(name, f"{number}.bin").write_bytes(random.Random(seed + 10 * number).randbytes(3000))
"""


class Machine:
    """A clone of the project whose environment holds this Python, and a way to type there."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.extra = folder, environment

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith((*ELSEWHERE, "AWS_"))
        }
        return {
            **kept,
            **IDENTITY,
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / f"{self.folder.name}-site"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
            "PYTHONPATH": str(ROOT / "src"),
            **self.extra,
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, encoding="utf-8"
        )
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(command)}: {result.returncode}\n{result.stdout}\n{result.stderr}"
            )
        return result

    def make(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """`make …` of the project's Makefile, this Python's environment being the installed one."""
        return self.run("make", "-o", ".venv/.ready", *words, check=check)

    def clone(self, name: str) -> Machine:
        """Another machine that has git's part, and nothing of DVC's."""
        folder = self.folder.parent / name
        self.run("git", "clone", "-q", str(self.folder), str(folder))
        link_environment(folder)
        return Machine(folder, self.extra)

    def files(self) -> dict[str, bytes]:
        found = [*self.folder.glob("models/*/*"), *self.folder.glob("data/*/*")]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}


def link_environment(folder: Path) -> None:
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The repository after `dvc repro`, committed; no remote yet."""
    folder = tmp_path_factory.mktemp("built") / "project"
    for name in ("Makefile", ".dvc/config", ".dvc/.gitignore", ".gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (folder / name).touch()
    (folder / ".gitignore").write_text(".venv\n")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "make.py").write_text(MAKE)
    machine = Machine(folder, {})
    machine.run("git", "init", "-q", "-b", "main")
    link_environment(folder)
    machine.run("dvc", "repro")
    machine.run("git", "add", "-A")
    machine.run("git", "commit", "-q", "-m", "built")
    return folder


@pytest.fixture(params=["local", "ssh", "s3"])
def remote(request, tmp_path):
    """Each kind of remote, running."""
    if request.param == "local":
        yield remote_servers.local(tmp_path / "disk")
    elif request.param == "ssh":
        with remote_servers.ssh(tmp_path / "ssh") as found:
            yield found
    else:
        with remote_servers.s3() as found:
            yield found


@pytest.fixture
def disk(tmp_path) -> remote_servers.Remote:
    """A folder as remote."""
    return remote_servers.local(tmp_path / "disk")


def first_machine(built: Path, folder: Path, remote: remote_servers.Remote) -> Machine:
    """The machine that built everything, the remote configured and committed, nothing pushed."""
    shutil.copytree(built, folder, symlinks=True)
    machine = Machine(folder, remote.environment)
    for command in remote.commands:
        machine.run(*command)
    machine.run("git", "commit", "-qam", "remote")
    return machine


def second_machine(first: Machine, remote: remote_servers.Remote, name: str = "second") -> Machine:
    """A fresh clone; what belongs to an account (port, key) is set there once more."""
    machine = first.clone(name)
    for command in remote.commands:
        if "--local" in command:
            machine.run(*command)
    return machine


def test_a_fresh_clone_gets_one_model_then_everything_and_has_nothing_to_do(
    built, remote, tmp_path
):
    first = first_machine(built, tmp_path / "first", remote)
    first.make("push")
    second = second_machine(first, remote)
    second.run("dvc", "pull", "models/hardnet-anatomy")
    assert {name.rsplit("/", 1)[0] for name in second.files()} == {"models/hardnet-anatomy"}
    said = second.make("pull").stdout
    assert "`dvc repro` has nothing to do" in said
    assert second.files() == first.files()
    assert len(second.files()) == 7
    again = second.run("dvc", "repro").stdout
    assert "Running stage" not in again
    assert second.run("git", "status", "--porcelain").stdout == ""


def test_missing_and_damaged_objects_are_named_and_the_rest_arrives(built, disk, tmp_path):
    first = first_machine(built, tmp_path / "first", disk)
    first.make("push")
    lost, bent, whole = (object_of(first, f"models/hardnet-anatomy/{n}.bin") for n in range(3))
    before = disk.objects()
    disk.write(lost, None)
    disk.write(bent, bytes(3000))
    second = second_machine(first, disk)
    refused = second.make("pull", check=False)
    assert refused.returncode != 0
    assert "expected every object of this commit, found" in refused.stderr
    assert "1 not there (models/hardnet-anatomy/0.bin)" in refused.stderr
    assert "1 damaged (models/hardnet-anatomy/1.bin)" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {name for name in second.files() if name.startswith("data/")} == {
        f"data/refined/{number}.bin" for number in range(4)
    }
    assert not (second.folder / "models/hardnet-anatomy/1.bin").exists()
    assert whole in disk.objects()
    # DVC's own push takes the disk at its word; ours does not.
    assert "up to date" in first.run("dvc", "push").stdout
    said = first.make("push", "ARGS=--hash").stdout
    assert "1 missing (models/hardnet-anatomy/0.bin); 1 damaged" in said
    assert disk.objects() == before
    second.make("pull")
    assert second.files() == first.files()


def test_a_listing_beside_a_writer_never_fails(tmp_path):
    folder = tmp_path / "store/files/md5/ab"
    folder.mkdir(parents=True)
    (folder / "whole").write_bytes(b"roots")
    listing = threading.Event()

    def write():
        while not listing.is_set():
            for number in range(50):
                (folder / f".{number}.tmp").touch()
            for number in range(50):
                (folder / f".{number}.tmp").unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert remote_servers.local(tmp_path).objects()["ab/whole"] == 5
    finally:
        listing.set()
        writer.join()


def test_a_push_that_was_killed_is_finished_by_the_next(built, tmp_path):
    with remote_servers.ssh(tmp_path / "ssh") as remote:
        first = first_machine(built, tmp_path / "first", remote)
        big = first.folder / "models/hardnet-anatomy/big.bin"
        big.write_bytes(os.urandom(2**20) * 48)
        first.run("dvc", "commit", "-f")
        first.run("git", "commit", "-qam", "big")
        process = subprocess.Popen(
            ["make", "-o", ".venv/.ready", "push"],
            cwd=first.folder,
            env=first.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        partial = object_of(first, "models/hardnet-anatomy/big.bin")
        on_its_way = partial.split("/")[0] + "/"  # under a name of its own until it is whole
        while not any(name.startswith(on_its_way) for name in remote.objects()):
            if process.poll() is not None:
                break
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if remote.objects().get(partial) in (None, big.stat().st_size):
            # A server that renames keeps no half under the object's name: half of one by hand.
            remote.write(partial, big.read_bytes()[:100_000])
        first.make("push")
        assert remote.objects()[partial] == big.stat().st_size
        second = second_machine(first, remote)
        second.make("pull")
        assert second.files() == first.files()


def test_half_an_object_is_never_taken_for_a_whole_one(built, disk, tmp_path):
    first = first_machine(built, tmp_path / "first", disk)
    first.make("push")
    half = object_of(first, "data/refined/2.bin")
    disk.write(half, (first.folder / "data/refined/2.bin").read_bytes()[:1000])
    second = second_machine(first, disk)
    refused = second.make("pull", check=False)
    assert "1 damaged (data/refined/2.bin)" in refused.stderr
    said = first.make("push").stdout
    assert "1 damaged (data/refined/2.bin)" in said
    second.make("pull")
    assert second.files() == first.files()


def test_a_machine_with_one_model_only_can_push_and_is_told_what_is_nowhere(built, disk, tmp_path):
    first = first_machine(built, tmp_path / "first", disk)
    first.make("push")
    second = second_machine(first, disk)
    second.make("pull", "ARGS=models/hardnet-anatomy")
    assert set(second.files()) == {f"models/hardnet-anatomy/{number}.bin" for number in range(3)}
    assert "9 objects are there" in second.make("push").stdout
    listed = object_of_folder(first, "data/refined")
    disk.write(listed, None)
    refused = second.make("push", check=False)
    assert "expected every object of this commit, there or here" in refused.stderr
    assert "1 missing (data/refined)" in refused.stderr
    refused = second.make("pull", check=False)
    assert "1 not there (data/refined)" in refused.stderr
    assert "Traceback" not in refused.stderr
    first.make("push")
    second.make("pull")
    assert second.files() == first.files()


def test_the_refined_data_set_alone_goes_into_another_project(built, disk, tmp_path):
    first = first_machine(built, tmp_path / "first", disk)
    first.make("push")
    other = Machine(tmp_path / "other", disk.environment)
    other.folder.mkdir()
    other.run("git", "init", "-q")
    other.run("dvc", "init", "-q")
    here, refined = str(first.folder), "data/refined"
    other.run("dvc", "get", here, refined, "-o", "copied")
    other.run("dvc", "import", here, refined, "-o", "imported")
    other.run("dvc", "import-url", f"{here}/{refined}", "linked")
    wanted = {path.name: path.read_bytes() for path in (first.folder / refined).iterdir()}
    for name in ("copied", "imported", "linked"):
        got = {path.name: path.read_bytes() for path in (other.folder / name).iterdir()}
        got.pop(".gitignore", None)
        assert got == wanted
    assert not (other.folder / "copied.dvc").exists()
    assert (other.folder / "imported.dvc").is_file()
    assert other.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_without_a_remote_the_message_says_what_to_do(built, tmp_path):
    machine = Machine(shutil.copytree(built, tmp_path / "alone", symlinks=True), {})
    refused = machine.make("pull", check=False)
    assert refused.returncode != 0
    assert "DVC remote: expected a configured one, found none configured." in refused.stderr
    assert "dvc remote add -d" in refused.stderr
    assert "make repro" in refused.stderr


@pytest.mark.parametrize("command", ["pull", "push"])
def test_a_target_that_does_not_exist_is_named_and_no_network_blamed(
    command, built, disk, tmp_path
):
    first = first_machine(built, tmp_path / "first", disk)
    refused = first.make(command, "ARGS=models/hardnet-anatomi", check=False)
    assert refused.returncode != 0
    assert "models/hardnet-anatomi: expected data, a model or a stage" in refused.stderr


def test_a_remote_that_is_away_changes_nothing(built, tmp_path):
    remote = remote_servers.Remote(
        [
            ["dvc", "remote", "add", "-d", "lab", "ssh://nobody@127.0.0.1/srv"],
            ["dvc", "remote", "modify", "lab", "port", str(remote_servers.free_port())],
        ],
        {"HOME": str(tmp_path)},
    )
    first = first_machine(built, tmp_path / "first", remote)
    before = first.files()
    for command in ("pull", "push"):
        refused = first.make(command, check=False)
        assert "remote lab (ssh://nobody@127.0.0.1/srv): expected an answer" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert first.files() == before


def test_a_file_that_a_person_changed_is_never_replaced(built, disk, tmp_path):
    first = first_machine(built, tmp_path / "first", disk)
    first.make("push")
    second = second_machine(first, disk)
    second.make("pull")
    mine = second.folder / "data/refined/0.bin"
    mine.unlink()
    mine.write_bytes(b"corrected by hand")
    refused = second.make("pull", check=False)
    assert refused.returncode != 0
    assert mine.read_bytes() == b"corrected by hand"


def object_of(machine: Machine, name: str) -> str:
    """`ab/cdef…` of a file's content."""
    digest = hashlib.md5((machine.folder / name).read_bytes()).hexdigest()
    return f"{digest[:2]}/{digest[2:]}"


def object_of_folder(machine: Machine, name: str) -> str:
    """`ab/cdef….dir` of a folder's list."""
    lock = yaml.safe_load((machine.folder / "dvc.lock").read_text())
    outs = {out["path"]: out["md5"] for out in lock["stages"]["train"]["outs"]}
    return f"{outs[name][:2]}/{outs[name][2:]}"
