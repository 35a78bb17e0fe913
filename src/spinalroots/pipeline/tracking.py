"""MLflow: where runs go, and the tags that join a run to the commit and the data it came from.

DVC owns reproducibility, MLflow observation: nothing downstream reads a run. Where the store lies,
:mod:`spinalroots.registry.store` says. The runs of one `dvc repro`, or of one experiment, lie below
one parent (:mod:`spinalroots.pipeline.invocation`), and share its name as the tag `dvc.run`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from spinalroots.compute.environment import variables
from spinalroots.files import alone, write_text
from spinalroots.pipeline import invocation, logged_data
from spinalroots.pipeline.logged_data import Data
from spinalroots.registry.models import Model
from spinalroots.registry.store import repository_root, tracking_uri

if TYPE_CHECKING:
    import mlflow

EXPERIMENT = "spinalroots"
_DEFAULT_PLACE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""Environment variable: where MLflow's experiment `Default`, which nobody uses, has its files."""
_RUN_FILE = "mlflow_run.txt"
"""In the folder that a training goes on from: the id of its run."""


@contextmanager
def run(
    name: str,
    *,
    kind: str,
    tags: Mapping[str, object] | None = None,
    params: dict | None = None,
    data: Sequence[Data] = (),
    nested: bool = False,
    resume_key: str | None = None,
    state: Path | None = None,
) -> Iterator[mlflow.ActiveRun]:
    """An MLflow run around a training, a trial, an evaluation or a quantization.

    :param kind: `training`, `trial`, `study`, `evaluation`, `quantization`, `registration`;
        a training logs what the machine does meanwhile.
    :param tags: region, model, target, scale, …; git revision, DVC stage and data hashes are added.
    :param params: flat or nested parameters, logged by :func:`flat`.
    :param data: what it learns from or is measured on.
    :param resume_key: a run of that key that did not finish is continued instead of begun again, so
        that curves of a killed and resumed training stay one run.
    :param state: folder that a training goes on from; whoever else wants to work in it waits. As
        long as it is there, the training's run is the same also when it had finished: a kill may
        come before DVC has taken its result.
    """
    with (
        alone(state) if state else nullcontext(),
        _run(name, kind, tags or {}, params or {}, data, nested, resume_key, state) as active,
    ):
        yield active


@contextmanager
def _run(
    name: str,
    kind: str,
    tags: Mapping[str, object],
    params: dict,
    data: Sequence[Data],
    nested: bool,
    resume_key: str | None,
    state: Path | None,
) -> Iterator[mlflow.ActiveRun]:
    import mlflow

    mlflow.set_tracking_uri(tracking_uri())
    invoked = invocation.current()
    with _alone():
        experiment = _experiment(mlflow)
        parent = None if nested or invoked is None else invoked.parent_run(experiment)
    every_tag = {"kind": kind, **provenance(), **tags}
    if invoked:
        every_tag["dvc.run"] = invoked.name
    if resume_key:
        every_tag["resume_key"] = resume_key
    told = {key: str(value) for key, value in every_tag.items() if value is not None}
    begun = _begun(mlflow, experiment, resume_key, state) if resume_key else None
    finished = begun is not None and begun.info.status == "FINISHED"
    with mlflow.start_run(
        run_id=begun and begun.info.run_id,
        run_name=None if begun else name,
        experiment_id=experiment,
        nested=nested,
        parent_run_id=None if begun else parent,
        tags=None if begun else told,  # with the run or not at all: a kill leaves none without
        log_system_metrics=True if kind == "training" else None,
    ) as active:
        if begun and not finished:
            mlflow.set_tags(told | ({"mlflow.parentRunId": parent} if parent else {}))
        if state:
            write_text(state / _RUN_FILE, active.info.run_id)
        there = begun.data.params if begun else {}
        lacking = {key: value for key, value in flat(params).items() if key not in there}
        if lacking:
            mlflow.log_params(lacking)
        if data and not finished:
            logged_data.log(data, provenance())
        yield active
    if invoked and parent:
        invoked.extend(parent)


def flat(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters one level deep, nested names joined by dots, values as JSON writes them.

    >>> flat({"net": {"width": 2, "wide": True}, "weights": None, "name": "tiny", "mm": [1, 2.5]})
    {'net.width': '2', 'net.wide': 'true', 'weights': 'none', 'name': 'tiny', 'mm': '[1, 2.5]'}
    """
    found: dict[str, str] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": text for inner, text in flat(value).items()}
        elif isinstance(value, str):
            found[key] = value
        else:
            found[key] = "none" if value is None else json.dumps(value, default=str)
    return found


def tags_of(model: Model, scale: str) -> dict[str, str]:
    """What every run about a model is tagged with."""
    return {
        "model": model.name,
        "family": model.family,
        "region": str(model.region),
        "target": str(model.scheme),
        "augmented": str(model.augmented).lower(),
        "scale": scale,
    }


def training_parameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a training's `training.json` says that it was made with, named as its run has it."""
    settings = record.get("settings", {})
    if "plans" not in record:
        return settings
    return {"training": settings, "plans_used": record["plans"]}


def last_step(metric: str) -> int:
    """Last step at which the active run has `metric`; -1 for none.

    A training that was killed after it logged a step and before it saved one repeats that step.
    """
    import mlflow

    history = mlflow.MlflowClient().get_metric_history(mlflow.active_run().info.run_id, metric)
    return max((entry.step for entry in history), default=-1)


def log_once(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Log figures of a whole training, but none that the active run has already."""
    import mlflow

    there = mlflow.get_run(mlflow.active_run().info.run_id).data.metrics
    mlflow.log_metrics({name: value for name, value in metrics.items() if name not in there}, step)


def finished_children() -> set[str]:
    """Names of the active run's nested runs that have ended well."""
    import mlflow

    active = mlflow.active_run().info
    found = mlflow.search_runs(
        [active.experiment_id],
        filter_string=f"tags.`mlflow.parentRunId` = '{active.run_id}' "
        "and attributes.status = 'FINISHED'",
        output_format="list",
    )
    return {child.info.run_name for child in found}


def provenance() -> dict[str, str]:
    """Tags that tell where a run came from: git revision, DVC stage, experiment, data hashes."""
    stage = os.environ.get("DVC_STAGE", "")
    tags = {"dvc.stage": stage, "dvc.experiment": os.environ.get("DVC_EXP_NAME", "")}
    return {key: value for key, value in tags.items() if value} | revision() | data_hashes(stage)


def revision() -> dict[str, str]:
    """Tags of the code: git revision, and whether files differ from it."""
    tags = {"git.revision": _git("rev-parse", "HEAD")}
    if _git("status", "--porcelain", "--untracked-files=no"):
        tags["git.dirty"] = "true"
    return {key: value for key, value in tags.items() if value}


def _alone() -> AbstractContextManager:
    """Held by one process at a time: two that open a new sqlite store at once both create it."""
    file = tracking_uri().removeprefix("sqlite:///")
    return FileLock(f"{file}.lock") if file != tracking_uri() else nullcontext()


def _experiment(mlflow) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    location = None
    if tracking_uri().startswith("sqlite:"):
        location = (repository_root() / "mlruns").resolve().as_uri()
    # MLflow writes this place into SQL as it is when it makes a store; quotes in it end that.
    with variables({_DEFAULT_PLACE: location} if location else {}):
        found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return mlflow.create_experiment(name, artifact_location=location)
    except mlflow.exceptions.MlflowException:  # of a server: another process was quicker
        found = mlflow.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


def _begun(
    mlflow, experiment: str, resume_key: str, state: Path | None
) -> mlflow.entities.Run | None:
    """The run to go on with: one that did not finish, or the one that `state` says."""
    found = mlflow.search_runs(
        [experiment], filter_string=f"tags.resume_key = '{resume_key}'", output_format="list"
    )
    same = (state / _RUN_FILE).read_text("utf-8") if state and (state / _RUN_FILE).is_file() else ""
    going_on = [run for run in found if run.info.status != "FINISHED" or run.info.run_id == same]
    return going_on[0] if going_on else None


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def data_hashes(stage: str) -> dict[str, str]:
    """`data.<path>` → DVC hash of each data dependency of the stage, from dvc.lock."""
    lock = Path("dvc.lock")
    if not stage or not lock.is_file():
        return {}
    stages = _stages(lock.resolve(), lock.stat().st_mtime_ns)
    written = {
        output["path"]: output.get("md5", "")
        for record in stages.values()
        for output in record.get("outs", [])
    }
    needed = [
        dependency["path"]
        for dependency in stages.get(stage, {}).get("deps", [])
        if dependency["path"].startswith(("data/", "models/"))
    ]
    return {f"data.{path}": written.get(path, "") for path in needed or written}


@lru_cache(maxsize=1)
def _stages(lock: Path, _: int) -> dict[str, dict]:
    """The stages of a dvc.lock; half a second of reading, for every run anew without the cache."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(lock.read_text(encoding="utf-8"), loader).get("stages", {})
    except (yaml.YAMLError, AttributeError):
        return {}


def resumed_log(name: str = "loss") -> Callable[[dict[str, float], int], None]:
    """Logs steps that the active MLflow run does not have of the metric `name` yet."""
    import mlflow

    known = last_step(name)

    def log(metrics: dict[str, float], epoch: int) -> None:
        if epoch > known:
            mlflow.log_metrics(metrics, step=epoch)

    return log
