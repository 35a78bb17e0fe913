"""Which `dvc repro` or `dvc exp run` a stage belongs to, and the one MLflow run above its runs.

Stages are processes of their own that know nothing of each other. What they share is the process
that started them, DVC's; an experiment's name comes with it. The parent run is found again by it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache

import psutil

KIND = "pipeline"
"""Tag `kind` of a parent run."""


@dataclass(frozen=True)
class Invocation:
    """`name`: what a person filters runs by; `key`: unlike that of every other invocation."""

    name: str
    key: str

    def parent_run(self, experiment: str) -> str:
        """Id of the run above this invocation's; made by the first who asks.

        :param experiment: id of MLflow's experiment.
        """
        import mlflow

        client = mlflow.MlflowClient()
        found = client.search_runs(
            [experiment], filter_string=f"tags.`dvc.invocation` = '{self.key}'", max_results=1
        )
        if found:
            return found[0].info.run_id
        tags = {"kind": KIND, "dvc.invocation": self.key, "dvc.run": self.name}
        run = client.create_run(experiment, run_name=self.name, tags=tags)
        client.set_terminated(run.info.run_id)
        return run.info.run_id

    def extend(self, run_id: str) -> None:
        """The parent lasts as long as its last child."""
        import mlflow

        mlflow.MlflowClient().set_terminated(run_id, end_time=int(time.time() * 1000))


def current() -> Invocation | None:
    """The invocation that this process belongs to; None for a stage that was started by hand."""
    found = _dvc(os.getpid())
    key = f"{os.uname().nodename} {found[0]} {found[1]:.2f}" if found else ""
    if name := os.environ.get("DVC_EXP_NAME"):  # also of a queue's worker, which is no `dvc exp`
        return Invocation(name, f"{name} {os.environ.get('DVC_EXP_BASELINE_REV', key)}")
    if found is None:
        return None
    return Invocation(time.strftime("repro-%Y%m%d-%H%M%S", time.localtime(found[1])), key)


@cache
def _dvc(process: int) -> tuple[int, float] | None:
    """Number and start (seconds since 1970) of the `dvc` above a process."""
    for one in psutil.Process(process).parents():
        if _is_dvc(one):
            return one.pid, one.create_time()
    return None


def _is_dvc(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(os.path.basename(word) == "dvc" for word in words[:3]) and bool(
        {"repro", "exp", "experiments", "queue"} & set(words)
    )
