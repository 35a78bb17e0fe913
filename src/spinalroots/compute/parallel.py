"""The same work for many cases, side by side."""

import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from spinalroots.compute import cluster
from spinalroots.compute.environment import variables
from spinalroots.compute.memory import free_gb
from spinalroots.errors import InputError

PROCESS_GB = 0.5
"""What a process takes at laptop scale, mostly for its libraries (docs/robustness.md)."""
_AT_ONCE = "SPINALROOTS_AT_ONCE"
"""Environment variable of the worker processes: how many of them there are."""


def each(
    work: Callable,
    jobs: Collection[tuple],
    workers: int,
    name: str,
    unit: str = "case",
    *,
    quiet: bool = False,
    process_gb: float = PROCESS_GB,
) -> list[Any]:
    """`work(*job)` of every job, in the jobs' order, in up to `workers` processes.

    The processes end when this one does, also when it is killed. Where a Dask cluster is in use
    (:mod:`.cluster`) its workers do it instead, however many there are.

    :param name: stands before the bar that is shown meanwhile; bars of the processes are not.
    :param unit: what the bar calls a job.
    :param quiet: no bar, and not a word.
    :param process_gb: memory that one of several processes takes. Where less is free than all of
        them need, there are fewer, which is said unless `quiet`.
    :raises InputError: a process was killed, most likely because memory ran out; or the work's own.
    """
    shown = {"total": len(jobs), "desc": name, "unit": unit, "disable": quiet}
    if cluster.in_use():
        return list(tqdm(cluster.answers(work, jobs, name), **shown))
    at_once = _as_fit(min(workers, max(len(jobs), 1)), process_gb, name, quiet=quiet)
    told = {_AT_ONCE: at_once, "TQDM_DISABLE": 1} if at_once > 1 else {}
    with variables(told):
        pool = Parallel(n_jobs=at_once, return_as="generator")
        results = pool(delayed(_guarded)(os.getpid(), work, *job) for job in jobs)
        try:
            return list(tqdm(results, **shown))
        except TerminatedWorkerError as error:
            raise InputError(
                f"{name} with {at_once} processes",
                expected="processes that live until they are done",
                found="one that was killed, most likely because memory ran out",
                fix="Lower `workers`; in a container raise its memory and give it --ipc=host.",
            ) from error


def _as_fit(wanted: int, process_gb: float, name: str, *, quiet: bool) -> int:
    """As many processes as the free memory holds, at least one, which is this one itself."""
    if wanted == 1:
        return 1
    free = free_gb()
    fitting = max(1, min(wanted, int(free / process_gb)))
    if fitting < wanted and not quiet:
        print(
            f"{name}: {fitting} at once in place of {wanted}: {max(free, 0):.1f} GB of memory are "
            f"free, and each takes about {process_gb:g}",
            file=sys.stderr,
        )
    return fitting


def at_once() -> int:
    """How many processes share the machine with this one, itself included."""
    return int(os.environ.get(_AT_ONCE, 1))


def _guarded(parent: int, work: Callable, *job: Any) -> Any:
    if os.getpid() != parent:
        _end_with(parent)
    return work(*job)


@cache
def _end_with(parent: int) -> None:
    """End this process as soon as `parent` is gone: it would work on beside its own successor."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
