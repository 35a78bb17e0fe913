"""What a person waits for most often: `dvc repro` with nothing to do, and `--help`.

`dvc repro` is only timed where a dry run finds nothing to do: a benchmark must not start the
pipeline.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ALLOWED_S = {"no-op dvc repro": 5.0, "--help": 0.2}
REPEATS = 3


def run() -> list[dict]:
    """Seconds against those that are allowed; the fastest of a few."""
    tools = Path(sys.executable).parent
    commands = {
        "--help": [str(tools / "spinalroots"), "--help"],
        "no-op dvc repro": [str(tools / "dvc"), "repro"],
    }
    records = []
    for name, command in commands.items():
        if name == "no-op dvc repro" and not _up_to_date(command):
            print("  no-op dvc repro: not measured, as there is something to do")
            continue
        seconds = min(_seconds(command) for _ in range(REPEATS))
        allowed = ALLOWED_S[name]
        records.append(
            {
                "name": f"commands: {name}",
                "ours": seconds,
                "other": allowed,
                "ratio": allowed / seconds,
                "unit": "s",
                "compared": f"fastest of {REPEATS}, in a new process, against {allowed:g} s",
            }
        )
    return records


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=_environment())
    return time.perf_counter() - began


def _up_to_date(command: list[str]) -> bool:
    done = subprocess.run(
        [*command, "--dry"], capture_output=True, encoding="utf-8", env=_environment()
    )
    return done.returncode == 0 and "Running stage" not in done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """The interpreter's own tools first, as `make` has it."""
    tools = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
