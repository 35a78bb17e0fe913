"""A command as a process group of its own, ended from outside at a moment that a seed chose."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
PATIENCE_S = 60.0
"""So long a process may take to end after SIGTERM or Ctrl-C."""
LOOKS_EVERY_S = 0.003


@dataclass(frozen=True)
class Moment:
    """`after` seconds, or, with `changes`, as soon as so many changes on disk were seen."""

    how: str
    after: float
    changes: int = 0

    def __str__(self) -> str:
        when = f"{self.changes} changes on disk" if self.changes else f"{self.after:.2f} s"
        return f"{self.how} after {when}"


@dataclass(frozen=True)
class Hit:
    """`late`: the command had ended before its moment; `seen`: changes on disk until then."""

    late: bool
    seen: int
    fault: str = ""


def draw(rng: random.Random, seconds: float, changes: int) -> Moment:
    """A moment within a run that takes `seconds` and makes `changes`: every other one at a change.

    Of those at a time, one in four falls anywhere and three after the start, which is all imports.
    """
    how = rng.choice(list(SIGNALS))
    if changes and rng.random() < 0.5:
        return Moment(how, 0.0, rng.randint(1, changes))
    earliest = 0.05 if rng.random() < 0.25 else 0.3 * seconds
    return Moment(how, rng.uniform(earliest, seconds))


def ended(
    command: Sequence[str],
    moment: Moment,
    folder: Path,
    environment: dict[str, str],
    watched: Sequence[Path],
    log: Path,
    meanwhile: Callable[[Callable[[], bool]], None] | None = None,
) -> Hit:
    """Run `command` in `folder`, and send the signal to its whole group at the moment.

    :param watched: files and folders whose time stamps count as changes on disk.
    :param meanwhile: what is done beside it; it is given a function that says whether to go on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started by `&`: the command would too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    began, seen, before = time.monotonic(), 0, _stamps(watched)
    with none_left(process):
        while process.poll() is None:
            now = _stamps(watched)
            seen += now != before
            before = now
            past = time.monotonic() - began
            if seen >= moment.changes if moment.changes else past >= moment.after:
                break
            time.sleep(LOOKS_EVERY_S)
    late = process.poll() is not None
    fault = "" if late else _end(process, SIGNALS[moment.how])
    late = late or process.returncode == 0  # it was done before it took notice
    return Hit(late, seen, fault or _orphans(folder))


@contextmanager
def none_left(process: subprocess.Popen) -> Iterator[None]:
    """Kill the group when the block is left early: it hears nothing of our own Ctrl-C."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _end(process: subprocess.Popen, number: int) -> str:
    """Signal the group until nothing of it is left; what went wrong."""
    os.killpg(process.pid, number)
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        if not _group(process.pid):
            process.wait()  # until then its number counts as alive
            return ""
        time.sleep(0.05)
    left = _group(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return f"still there {PATIENCE_S:.0f} s after the signal: {left}"


def _group(leader: int) -> list[str]:
    """Command lines of the processes of a group that are alive."""
    found = []
    for one in psutil.process_iter():
        try:
            if os.getpgid(one.pid) == leader and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def _orphans(folder: Path) -> str:
    """Processes that still work in `folder`, ten seconds after the group is gone."""
    limit = time.monotonic() + 10
    while left := working_in(folder):
        if time.monotonic() > limit:
            return f"processes outlived the kill: {left}"
        time.sleep(0.1)
    return ""


def working_in(folder: Path) -> list[str]:
    """Command lines of processes whose working folder is `folder` or below."""
    found = []
    for one in psutil.process_iter():
        try:
            here = Path(one.cwd())
            if one.pid != os.getpid() and (here == folder or folder in here.parents):
                found.append(" ".join(one.cmdline())[:200])
        except (psutil.Error, OSError):
            continue
    return found


def _stamps(paths: Sequence[Path]) -> list[int]:
    stamps = []
    for path in paths:
        try:
            stamps.append(path.stat().st_mtime_ns)
        except OSError:
            stamps.append(0)
    return stamps
