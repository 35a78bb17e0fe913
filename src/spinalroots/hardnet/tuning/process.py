"""Starting a trial's process, watching what it tells, stopping it when nothing good can come."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from spinalroots.files import write_json

COMPLETE, OVER_BUDGET, BEHIND = "complete", "over budget", "behind the others"
OUT_OF_MEMORY, TOO_SLOW, FAILED = "out of memory", "too slow", "failed"


def execute(
    request: dict,
    path: Path,
    *,
    timeout_s: float,
    budget_mb: float,
    dice_to_reach: float | None,
) -> dict:
    """Run `python -m spinalroots.hardnet.tuning.trial` on the request, written to `path`.

    :param budget_mb: a process that needs more after its first step is stopped.
    :param dice_to_reach: a process that has less halfway is stopped.
    :returns: `outcome` (one of the words above) and the last figures that the process told. One
        that something else killed counts as out of memory: that is what the kernel does then.
    """
    write_json(path, request)
    log = path.with_suffix(".log")
    late = threading.Event()
    figures: dict = {}
    command = [sys.executable, "-m", "spinalroots.hardnet.tuning.trial", str(path)]
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        ) as process,
    ):

        def stop_late() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(timeout_s, stop_late)
        clock.daemon = True
        clock.start()
        try:
            printed = cast(IO[str], process.stdout)
            stopped = watch(printed, figures, budget_mb, dice_to_reach)
            if stopped:
                process.kill()
            process.wait()
        finally:
            clock.cancel()
            process.kill()
    if stopped:
        return {**figures, "outcome": stopped}
    if late.is_set():
        return {**figures, "outcome": TOO_SLOW}
    if process.returncode == 0:
        return {**figures, "outcome": COMPLETE}
    return {**figures, **_death(process.returncode, log.read_text(encoding="utf-8"))}


def watch(
    lines: Iterable[str], figures: dict, budget_mb: float, dice_to_reach: float | None
) -> str | None:
    """Read a trial's lines into `figures`; the reason to stop it, or None when it has ended."""
    for line in lines:
        told = json.loads(line)
        event = told.pop("event")
        figures.update(told)
        if told["peak_memory_mb"] > budget_mb:
            return OVER_BUDGET
        if event == "halfway":
            figures["dice_halfway"] = told["dice"]
            if dice_to_reach is not None and told["dice"] < dice_to_reach:
                return BEHIND
    return None


def _death(code: int, told: str) -> dict:
    """Outcome of a process that ended with `code` and wrote `told` to its error stream."""
    words = ("memoryerror", "out of memory", "not enough memory", "can't allocate memory")
    starved = code < 0 or any(word in told.lower() for word in words)
    last = told.strip().splitlines()[-1] if told.strip() else f"exit code {code}"
    return {"outcome": OUT_OF_MEMORY if starved else FAILED, "error": last}
