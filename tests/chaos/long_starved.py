"""Each command in want of something: it does its work, or says what it lacks and leaves nothing.

`make chaos` runs this file too. What needs root or a program that is not here is skipped.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import starving
from lab_scans import lab_folder, snapshot
from small_model import write_packaged, write_scan

SPINALROOTS = [sys.executable, "-m", "spinalroots"]
FOUR_PARTS = re.compile(r"error: .+: expected .+, found .+\. .+", re.DOTALL)
CONDITIONS = starving.at_hand()
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts: root only")


@pytest.fixture(scope="module")
def place(tmp_path_factory, smoke_params):
    """A model, a scan and a lab's folder."""
    folder = tmp_path_factory.mktemp("starved")
    write_packaged(folder / "model", smoke_params)
    write_scan(folder / "scan.nii.gz")
    lab_folder(folder / "lab", seed=1)
    return folder


def command(name, place, out):
    """A command that writes into `out`."""
    return {
        "predict": ["predict", str(place / "scan.nii.gz"), "-m", str(place / "model"), "-o", out],
        "ingest": ["ingest", str(place / "lab"), "--root", out, "--no-dvc"],
    }[name]


def run(words, before=(), folder=None, **environment):
    kept = {**os.environ, **environment}
    return subprocess.run(
        [*before, *SPINALROOTS, *words], cwd=folder, env=kept, capture_output=True, encoding="utf-8"
    )


@pytest.fixture(scope="module")
def whole(place):
    """What the commands write where nothing lacks."""
    found = {}
    for name in ("predict", "ingest"):
        out = place / f"whole-{name}"
        assert run(command(name, place, str(out))).returncode == 0
        found[name] = files(out)
    return found


def files(out):
    """Name → bytes' hash; JSON records hold times."""
    return {name: value for name, value in snapshot(out).items() if not name.endswith(".json")}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", ["predict", "ingest"])
def test_a_command_does_its_work_without(condition, name, place, whole, tmp_path):
    done = run(command(name, place, str(tmp_path / "out")), CONDITIONS[condition])
    assert done.returncode == 0, done.stderr
    now = files(tmp_path / "out")
    listed = {".spinalroots"}  # names versions of the software, not the scan alone
    assert {k: v for k, v in now.items() if k not in listed} == {
        k: v for k, v in whole[name].items() if k not in listed
    }


@pytest.mark.parametrize("name", ["predict", "ingest"])
def test_a_path_with_blanks_quotes_and_umlauts_is_one_like_others(name, place, whole, tmp_path):
    odd = tmp_path / starving.ODD.strip()
    for one in ("model", "lab"):
        shutil.copytree(place / one, odd / one)
    shutil.copy(place / "scan.nii.gz", odd / "scan.nii.gz")
    done = run(command(name, odd, "out"), folder=odd)
    assert done.returncode == 0, done.stderr
    assert {*files(odd / "out")} == {*whole[name]}


@root_only
@pytest.mark.parametrize("name", ["predict", "ingest"])
def test_a_full_disk_is_said_and_leaves_nothing_at_any_size(name, place, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    needed = sum(path.stat().st_size for path in (place / f"whole-{name}").rglob("*")) + 2**16
    ends = set()
    for share in (0.0, 0.2, 0.5, 0.8, 0.95, 1.1, 2.5):
        size = max(4096 * 3, int(needed * share) // 4096 * 4096)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "chaos", str(disk)]
        subprocess.run(mount, check=True)
        try:
            done = run(command(name, place, str(disk / "out")), TMPDIR=str(disk))
            said_or_done(done, disk / "out", whole[name])
            ends.add(done.returncode)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    assert ends == {0, 2}


@root_only
@pytest.mark.parametrize("name", ["predict", "ingest"])
def test_a_folder_that_cannot_be_written_is_said(name, place, whole, tmp_path):
    done = run(command(name, place, str(tmp_path / "out")), starving.read_only(tmp_path))
    assert done.returncode == 2
    said_or_done(done, tmp_path / "out", whole[name])


def said_or_done(done, out: Path, wanted):
    """All there, or four parts and nothing there."""
    if done.returncode == 0:
        assert {*files(out)} == {*wanted}
        return
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert FOUR_PARTS.search(done.stderr), done.stderr
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]
