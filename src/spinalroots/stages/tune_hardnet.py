"""Stage: tune HarDNet's patch, memory settings, width and learning rate → reports/tuning."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from tqdm import tqdm

from spinalroots.files import folder_in_one_piece
from spinalroots.hardnet.data import cases as room
from spinalroots.pipeline import tracking
from spinalroots.pipeline.params import Params
from spinalroots.registry.models import MODELS
from spinalroots.stages.train_hardnet import BEST, NAME, input_spec


def main(params: Params) -> None:
    """Run the study, or go on with one that was killed, and write what it found."""
    import optuna
    import torch

    from spinalroots.hardnet.tuning.report import write_report
    from spinalroots.hardnet.tuning.study import Bench, finished, open_study, run_next
    from spinalroots.hardnet.tuning.trial import write_cases

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    target, spec, tune = MODELS[NAME].target(), input_spec(params.hardnet), params.tune
    training, validation = room.sources("train"), room.sources("validation")[: tune.trial_cases]
    weights = room.class_weights(params.hardnet, target)
    settings = {
        "hardnet": params.hardnet.model_dump(),
        "tune": tune.model_dump(exclude={"trials", "storage"}),
        "target": target.as_dict(),
        "seed": params.seed,
        "class_weights": weights,
        "transforms": params.augment.transforms.model_dump(),
    }
    key = room.fingerprint([*training, *validation], target, **settings)
    folder = tracking.repository_root() / ".cache" / "tune" / key
    on_gpu = torch.cuda.is_available() and params.hardnet.accelerator != "cpu"
    bench = Bench(
        params.hardnet,
        tune,
        target,
        folder / "cases.npz",
        folder,
        params.seed,
        "cuda" if on_gpu else "cpu",
        weights,
        params.augment.transforms,
    )
    write_cases(
        bench.cases,
        room.read_cases(training, spec, target, workers=params.workers),
        room.read_cases(validation, spec, target, workers=params.workers),
    )
    tags = {"model": NAME, "family": "hardnet", "scale": str(params.scale)}
    with tracking.run(
        "tune-hardnet",
        kind="study",
        tags=tags,
        params={"tune": tune.model_dump()},
        resume_key=f"tune-{key}",
    ):
        study = open_study(bench, f"hardnet-{key}")
        logged = tracking.finished_children()
        for trial in finished(study):  # one that ended just before the study was killed
            if _name(trial) not in logged:
                _log(trial, tags, key)
        with tqdm(total=tune.trials, initial=len(finished(study)), desc="trials") as bar:
            while len(finished(study)) < tune.trials:
                _log(run_next(study, bench), tags, key)
                bar.update()
        with folder_in_one_piece(BEST.parent) as out:
            found = write_report(
                study, out, tune.memory_budget_mb, params.hardnet.untuned.model_dump()
            )
        _log_study(BEST.parent, found)
    if not found["feasible"]:
        warnings.warn(
            f"No trial stayed within tune.memory_budget_mb = {tune.memory_budget_mb:g}: HarDNet "
            "will train with hardnet.untuned. Raise it, or search smaller patches and batches.",
            stacklevel=1,
        )


def _name(trial) -> str:
    return f"trial-{trial.number}"


def _log(trial, tags: dict[str, str], key: str) -> None:
    """A finished trial as a nested MLflow run."""
    import mlflow

    outcome = trial.user_attrs["outcome"]
    with tracking.run(
        _name(trial),
        kind="trial",
        tags={**tags, "outcome": outcome},
        params=trial.params,
        nested=True,
        resume_key=f"tune-{key}-{_name(trial)}",
    ):
        numbers = {
            name: float(value)
            for name, value in trial.user_attrs.items()
            if isinstance(value, int | float)
        }
        mlflow.log_metrics(numbers)


def _log_study(folder: Path, found: dict) -> None:
    import mlflow

    for path in sorted(folder.iterdir()):
        mlflow.log_artifact(os.fspath(path))
    if found["feasible"]:
        mlflow.log_metrics({name: found[name] for name in ("dice", "peak_memory_mb")})
