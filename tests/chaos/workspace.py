"""A whole workspace at smoke scale, built once and undisturbed, to be killed in again and again."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml
from pipeline import Copy

READY = "ready.json"
LESS = {"iterations: 10": "iterations: 4", "max_features: 32": "max_features: 16"}
"""What the budgets of smoke scale have → what is enough here: ten rows are trained at each try."""


class Workspace:
    """`folder`: the project with all its results committed; `beside`: all that belongs to it.

    `before`: words that the building run is started with (:mod:`starving`).
    """

    def __init__(self, beside: Path):
        self.beside, self.folder = beside, beside / "ws"
        self.sources = self.folder / "src"
        self.before: list[str] = []

    def build(self) -> dict[str, float]:
        """Make everything there is; seconds that each stage took."""
        self.beside.mkdir(parents=True, exist_ok=True)
        copy = Copy(self.folder)
        path = self.folder / "params.yaml"
        text = re.sub(r"^scale: \w+", "scale: smoke", path.read_text("utf-8"), flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
        path = self.folder / "conf/scale/smoke.yaml"
        text = path.read_text("utf-8")
        for more, less in LESS.items():
            if more not in text:
                raise ValueError(f"{path} has no {more!r}")
            text = text.replace(more, less)
        path.write_text(text, encoding="utf-8")
        (self.folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
        copy.run("dvc", "remote", "add", "-d", "disk", "../remote")  # DVC's own: no umlauts in it
        copy.run("git", "commit", "-qam", "smoke")
        took = self._reproduced(copy)
        copy.run("git", "add", "-A")
        copy.run("git", "commit", "-qm", "built")
        copy.run("dvc", "push", "-q")
        return took

    def _reproduced(self, copy: Copy) -> dict[str, float]:
        """`dvc repro`, and how long each stage took from its own line to the next one's."""
        took: dict[str, float] = {}
        with (self.beside / "build.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*self.before, "dvc", "repro"],
                cwd=self.folder,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
            name, since = "", time.monotonic()
            for line in process.stdout or ():
                log.write(line)
                if found := re.match(r"Running stage '(\w+)'", line):
                    took[name] = time.monotonic() - since
                    name, since = found[1], time.monotonic()
            took[name] = time.monotonic() - since
        if process.wait():
            raise RuntimeError(f"the undisturbed run failed: see {self.beside}/build.log")
        return {name: seconds for name, seconds in took.items() if name}

    def environment(self) -> dict[str, str]:
        """What commands run in: the copy's own sources, one thread, no store but its own."""
        copy = object.__new__(Copy)
        copy.folder = self.folder
        kept = {k: v for k, v in copy.environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "PYTHONPATH": str(self.sources), "DVC_NO_ANALYTICS": "1"}

    def run(self, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess:
        """Run a command to its end; its output comes with the result."""
        return subprocess.run(
            command,
            cwd=folder or self.folder,
            env=self.environment(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )

    def stages(self) -> dict[str, list[str]]:
        """Stage → everything that it writes."""
        text = (self.folder / "dvc.yaml").read_text(encoding="utf-8")
        return {
            name: [
                next(iter(out)) if isinstance(out, dict) else out
                for kind in ("outs", "metrics", "plots")
                for out in stage.get(kind, [])
            ]
            for name, stage in yaml.safe_load(text)["stages"].items()
        }

    def restore(self) -> None:
        """Back to the committed results, after a try that did not recover."""
        for name in ("rwlock", "rwlock.lock", "lock"):
            (self.folder / ".dvc/tmp" / name).unlink(missing_ok=True)
        for hidden in [*self.folder.glob(".spinalroots.*"), *self.folder.glob("*/.spinalroots.*")]:
            shutil.rmtree(hidden, ignore_errors=True)
        self.run("git", "checkout", "-q", ".")
        told = self.run("dvc", "checkout", "--force", "-q")
        if told.returncode:
            raise RuntimeError(f"cannot restore the workspace: {told.stderr}")
