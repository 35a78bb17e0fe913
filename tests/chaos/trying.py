"""One try: kill, run the same command once more, and say what is not as it was."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import judging
from commands import KEPT, Command
from killing import Moment, draw, ended, none_left
from workspace import Workspace

PATIENCE_S = 1200
"""So long the same command may take once more."""


@dataclass
class Undisturbed:
    """What a command leaves when nobody disturbs it; `aside`: copies of its files."""

    files: dict[str, bytes]
    aside: Path
    curves: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, command: Command, aside: Path) -> Undisturbed:
        """Take what is there."""
        found = judging.files(command.folder, command.outs)
        judging.kept(command.folder, found, aside)
        return cls(found, aside)

    def is_there(self, command: Command) -> bool:
        """Whether the outputs are these, to the byte."""
        return judging.files(command.folder, command.outs) == self.files


@dataclass(frozen=True)
class Try:
    """`faults`: none if it recovered."""

    command: str
    moment: Moment
    faults: tuple[str, ...]
    seconds: float


def undisturbed(work: Workspace, command: Command, *, run: bool) -> Undisturbed:
    """The reference; `run`: nobody has run the command yet."""
    if run:
        command.prepare()
        began = time.monotonic()
        told = work.run(*command.line, folder=command.folder)
        if told.returncode:
            raise RuntimeError(f"{command.name} undisturbed: {told.stdout}\n{told.stderr}")
        command.seconds = time.monotonic() - began
    found = Undisturbed.of(command, work.beside / "undisturbed" / command.stage)
    if command.stage.startswith("train_"):
        names = {Path(out).name for out in command.outs}
        told = judging.runs(work.folder).values()
        found.curves = {name: steps for name, _, steps in told if name in names}
    return found


def tried(work: Workspace, command: Command, was: Undisturbed, rng: random.Random) -> Try:
    """Kill it once; moments that turn out too late are drawn again.

    :raises RuntimeError: all of them did.
    """
    began = time.monotonic()
    for _ in range(12):
        moment = draw(rng, command.seconds, command.changes)
        command.prepare()
        known, raw = _runs(work), judging.raw(work.folder)
        log, since = work.beside / "killed.log", time.monotonic()
        hit = ended(command.line, moment, command.folder, work.environment(), command.watched, log)
        command.changes = max(hit.seen, command.changes if not hit.late else 0)
        if not hit.late:
            break
        command.seconds = 0.8 * min(command.seconds, time.monotonic() - since)
    else:
        raise RuntimeError("it was done before each of twelve moments")
    faults = [hit.fault] if hit.fault else []
    since = time.monotonic()
    faults += again(work, command, was)
    if command.stage not in KEPT:  # it did all the work once more
        command.seconds = time.monotonic() - since
    faults += judging.trainings(work.folder, known, was.curves) if was.curves else []
    if judging.raw(work.folder) != raw and command.stage != "phantom":
        faults.append("raw data changed")
    command.tidy()
    return Try(command.name, moment, tuple(faults), time.monotonic() - began)


def again(work: Workspace, command: Command, was: Undisturbed) -> list[str]:
    """Run the command once more, and say what is not as it was undisturbed."""
    log = work.beside / "again.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command.line,
            cwd=command.folder,
            env=work.environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        end: int | str = f"nothing in {PATIENCE_S} s"
        with suppress(subprocess.TimeoutExpired), none_left(process):
            end = process.wait(PATIENCE_S)
    faults = []
    said = log.read_text(errors="replace").strip()[-1500:]
    finished = command.name == "ingest" and "found the same scan as" in said  # before the kill
    if end and not finished:
        faults.append(f"the same command ended with {end}: {said}")
    return [
        *faults,
        *judging.differences(command.folder, was.files, was.aside, command.outs, command.exact),
        *judging.leftovers(command.folder, command.outs),
        *judging.locks(command.folder),
    ]


def _runs(work: Workspace) -> set[str]:
    return set(judging.runs(work.folder))
