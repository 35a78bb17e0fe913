"""The same work for many cases, side by side."""

import os
import threading
import time
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from spinalroots.compute.environment import variables

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

    The processes end when this one does, also when it is killed.

    :param name: stands before the bar that is shown meanwhile; bars of the processes are not.
    :param unit: what the bar calls a job.
    :param quiet: no bar.
    """
    at_once = min(workers, max(len(jobs), 1))
    told = {_AT_ONCE: at_once, "TQDM_DISABLE": 1} if at_once > 1 else {}
    with variables(told):
        pool = Parallel(n_jobs=at_once, return_as="generator")
        results = pool(delayed(_guarded)(os.getpid(), work, *job) for job in jobs)
        return list(tqdm(results, total=len(jobs), desc=name, unit=unit, disable=quiet))


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
