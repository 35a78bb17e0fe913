"""`python tests/chaos/full_disk.py WORKSPACE [STAGE …]`: stages on a nearly full disk. Root only.

Each stage runs on a small file system in memory with hardly any room left, and once more with room
enough. It must say what is full in the four parts, leave no half of anything, and give the
undisturbed outputs afterwards.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import judging  # noqa: E402
from commands import KEPT, Command  # noqa: E402
from trying import Undisturbed  # noqa: E402
from workspace import Workspace  # noqa: E402

ROOM_KB = (0, 64, 300, 1000, 3000)
"""Left free beside what is there: one of them, drawn for each stage."""
COPIED = ("src", "bin", "conf", "data", "models", "reports", "docs", "params.yaml", "dvc.yaml")


def main(arguments: list[str]) -> int:
    """Run the stages named, or all; 0 if all said what was full and recovered."""
    work, rng, bad = Workspace(Path(arguments[0]).resolve()), random.Random(1), 0
    for stage, outs in work.stages().items():
        if arguments[1:] and stage not in arguments[1:]:
            continue
        room = rng.choice(ROOM_KB)
        faults = on_full_disk(work, stage, outs, room)
        print(f"{stage}, {room} kB left: {'; '.join(faults) or 'said, and recovered'}", flush=True)
        bad += bool(faults)
    return int(bad > 0)


def on_full_disk(work: Workspace, stage: str, outs: list[str], room_kb: int) -> list[str]:
    """What was wrong."""
    was = Undisturbed.of(Command(stage, [], work.folder, outs), work.beside / "undisturbed" / stage)
    with tempfile.TemporaryDirectory() as place:
        disk = Path(place)
        _mount(disk, "8g")
        try:
            for name in COPIED:
                source = work.folder / name
                copy = shutil.copytree if source.is_dir() else shutil.copy2
                copy(source, disk / name)
            (disk / "tmp").mkdir()
            used = shutil.disk_usage(disk).used
            _mount(disk, str(used + room_kb * 1024), "remount,")
            first = _run(work, stage, disk)
            faults = []
            if first.returncode not in (0, 2) or "Traceback" in first.stderr:
                faults.append(f"ended with {first.returncode}: {first.stderr[-1500:]}")
            elif first.returncode == 2 and "expected" not in first.stderr:
                faults.append(f"said only: {first.stderr[-500:]}")
            _mount(disk, "8g", "remount,")
            again = _run(work, stage, disk)
            if again.returncode:
                faults.append(f"with room again: {again.returncode}: {again.stderr[-800:]}")
            there = Command(stage, [], disk, outs)
            faults += judging.differences(disk, was.files, was.aside, outs, there.exact)
            faults += judging.leftovers(disk, outs)
            return faults
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def _mount(disk: Path, size: str, how: str = "") -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"{how}size={size}", "chaos", str(disk)]
    subprocess.run(command, check=True)


def _run(work: Workspace, stage: str, disk: Path) -> subprocess.CompletedProcess:
    shutil.rmtree(disk / KEPT.get(stage, ".cache"), ignore_errors=True)
    own = {"PYTHONPATH": str(disk / "src"), "TMPDIR": str(disk / "tmp")}
    environment = {**work.environment(), **own, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["bin/stage", stage],
        cwd=disk,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


if __name__ == "__main__":
    if os.geteuid():
        raise SystemExit("root only: it mounts")
    raise SystemExit(main(sys.argv[1:]))
