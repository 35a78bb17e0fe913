"""The same work for many cases, side by side."""

from collections.abc import Callable, Collection
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm


def each(work: Callable, jobs: Collection[tuple], workers: int, name: str) -> list[Any]:
    """`work(*job)` of every job, in the jobs' order, in up to `workers` processes.

    :param name: stands before the bar that is shown meanwhile.
    """
    pool = Parallel(n_jobs=min(workers, max(len(jobs), 1)), return_as="generator")
    results = pool(delayed(work)(*job) for job in jobs)
    return list(tqdm(results, total=len(jobs), desc=name, unit="case"))
