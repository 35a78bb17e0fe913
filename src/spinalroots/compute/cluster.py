"""The cases of a stage on a Dask cluster that is there already, in place of processes here.

Dask deals them out, and gives the cases of a worker that was lost to another one. Workers must see
the same files at the same paths.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from spinalroots.errors import InputError

TIMEOUT_S = 10.0
"""How long a scheduler may take to answer, and its first worker to be there."""

Facts = Callable[[], dict[str, str]]
"""What every worker must have in common with the caller, such as versions: name → value."""


@dataclass(frozen=True)
class _Cluster:
    client: Any
    facts: Facts
    here: dict[str, str]


_open: list[_Cluster] = []


@contextmanager
def on_cluster(address: str, facts: Facts = dict) -> Iterator[None]:
    """Let :func:`spinalroots.compute.parallel.each` send its jobs to the cluster at `address`.

    :param address: of the scheduler, such as tcp://host:8786; empty: nothing changes.
    :param facts: a worker that lacks one that holds here refuses to work.
    :raises InputError: none answers there, or it has no workers.
    """
    if not address:
        yield
        return
    from distributed import Client

    try:
        client = Client(address, timeout=TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            "compute.dask",
            expected="the address of a running Dask scheduler, such as tcp://host:8786",
            found=f"{address!r}, where none answers",
            fix="Start one with `dask scheduler`, or leave the address empty.",
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT_S)
        except TimeoutError as error:
            raise InputError(
                f"compute.dask {address}",
                expected="at least one worker",
                found="a scheduler without any",
                fix=f"Start some with `dask worker {address} --nthreads 1` (docs/scaling.md).",
            ) from error
        _open.append(_Cluster(client, facts, facts()))
        try:
            yield
        finally:
            _open.pop()


def in_use() -> bool:
    """Whether jobs go to a cluster now."""
    return bool(_open)


def answers(work: Callable, jobs: Iterable[tuple], name: str) -> Iterator[Any]:
    """`work(*job)` of every job, in the jobs' order, done by the workers of the open cluster.

    :param name: of the work, for errors.
    :raises InputError: the workers of a job died again and again, or the cluster went away; a
        worker does not see this folder, or has not the same facts; or the work's own.
    """
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    one = _open[-1]
    tasks = [_Task(os.getcwd(), one.facts, one.here, work, job) for job in jobs]
    futures = one.client.map(_Task.done, tasks, pure=False, key=name.replace(" ", "_"))
    try:
        for future in futures:
            yield future.result()
    except KilledWorker as error:
        raise InputError(
            f"{name} on a Dask cluster",
            expected="workers that live until they are done",
            found="a case whose workers died one after the other, most likely for want of memory",
            fix="Give the workers more memory, or start fewer of them on a machine.",
        ) from error
    except CancelledError as error:
        raise InputError(
            f"{name} on a Dask cluster",
            expected="a scheduler that stays until all is done",
            found="none any more",
            fix="Start it and its workers again, then the stage.",
        ) from error
    finally:
        one.client.cancel(futures)


@dataclass(frozen=True)
class _Task:
    """A job on its way: one object, into which Dask does not look."""

    folder: str
    facts: Facts
    expected: dict[str, str]
    work: Callable
    job: tuple

    def done(self) -> Any:
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise _unlike(
                f"the folder {self.folder}",
                error.strerror or str(error),
                "Start the workers where that path leads to the same files (docs/scaling.md).",
            ) from error
        found = _known(self.facts)
        for name, value in self.expected.items():
            if found.get(name) != value:
                raise _unlike(
                    f"{name} {value}",
                    found.get(name, "none"),
                    "Start the workers from the same commit, in an environment made from the same "
                    "lock, as docs/scaling.md says.",
                )
        return self.work(*self.job)


@cache
def _known(facts: Facts) -> dict[str, str]:
    return facts()


def _unlike(expected: str, found: str, fix: str) -> InputError:
    where = f"Dask worker on {os.uname().nodename}"
    return InputError(
        where, expected=f"{expected}, as where the work was asked for", found=found, fix=fix
    )
