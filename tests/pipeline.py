"""A clean copy of the working tree, in which the pipeline runs for real.

The copy holds what git tracks and what it would track (no caches, no data), so a test never touches
the checkout and sees changes that are not committed yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

IDENTITY = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}
ELSEWHERE = ("DVC_", "MLFLOW_TRACKING", "GIT_", "MAKE", "MFLAGS", "ARGS")
"""Variables that would lead a command in the copy to another place, or hand it the words that were
meant for the make that runs the tests (`make chaos ARGS=…`)."""


class Copy:
    """A copy of the project in `folder`; commands run there with this Python's tools first."""

    def __init__(self, folder: Path):
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            source = ROOT / name
            if source.is_file():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        for command in (
            ["init", "-q", "-b", "main"],
            ["add", "-A"],
            ["commit", "-q", "-m", "copy"],
        ):
            self.run("git", *command)

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, its Python's tools first, nothing that points elsewhere."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ELSEWHERE)}
        tools = str(Path(sys.executable).parent)
        return {**kept, **IDENTITY, "PATH": f"{tools}{os.pathsep}{kept.get('PATH', '')}"}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command in the copy; its output is shown when it fails."""
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, encoding="utf-8"
        )
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(command)} ended with {result.returncode}\n"
                f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
            )
        return result
