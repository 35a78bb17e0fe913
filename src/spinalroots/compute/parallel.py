"""The same work for many cases, side by side."""

import os
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
from spinalroots.errors import InputError

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
) -> list[Any]:
    """`work(*job)` of every job, in the jobs' order, in up to `workers` processes.

    The processes end when this one does, also when it is killed. Where a Dask cluster is in use
    (:mod:`.cluster`) its workers do it instead, however many there are.

    :param name: stands before the bar that is shown meanwhile; bars of the processes are not.
    :param unit: what the bar calls a job.
    :param quiet: no bar.
    :raises InputError: a process was killed, most likely because memory ran out; or the work's own.
    """
    shown = {"total": len(jobs), "desc": name, "unit": unit, "disable": quiet}
    if cluster.in_use():
        return list(tqdm(cluster.answers(work, jobs, name), **shown))
    at_once = min(workers, max(len(jobs), 1))
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
