"""Stage: tune HarDNet's patch, memory settings, width and learning rate → reports/tuning."""

import os
import warnings
from pathlib import Path

from tqdm import tqdm

from spinalroots.compute.device import choose_device
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.files.folders import staging
from spinalroots.hardnet.data.stacks import case_files, class_weights, store_stacks
from spinalroots.hardnet.training.plan import TrainingPlan
from spinalroots.pipeline import provenance, tracking
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import HARDNET

MADE_BY = ["spinalroots.hardnet.tuning.trial", "spinalroots.hardnet.tuning.study"]
"""The modules whose code decides the outcome."""


def main(params: Params) -> None:
    """Run the study, or go on with one that was killed, and write what it found."""
    import optuna

    from spinalroots.hardnet.tuning.report import write_report
    from spinalroots.hardnet.tuning.study import StudySetup, finished, open_study, run_next
    from spinalroots.hardnet.tuning.trial import TRAINING, VALIDATION

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    hardnet, tune, target = params.hardnet, params.tune, HARDNET.target()
    split, refined = read_json(paths.SPLIT), [Dataset(paths.REFINED)]
    training = training_cases(split["train"], refined)
    validation = training_cases(split["validation"], refined)[: tune.trial_cases]
    weights = class_weights(hardnet.class_weights, paths.AUGMENTED / "class_weights.json", target)
    plan = TrainingPlan(
        hardnet.recipe, hardnet.untuned, target, params.seed, weights, params.augment.transforms
    )
    settings = {
        **plan.as_dict(),
        **hardnet.determines_trials(),
        "tune": tune.determines_trials(),
    }
    files = case_files([*training, *validation], paths.CENTRELINES, target)
    key = provenance.key(MADE_BY, settings, files)
    folder = tracking.repository_root() / ".cache" / "tune" / key
    device = choose_device(hardnet.device, "hardnet.accelerator")
    tags = {"model": HARDNET.name, "family": "hardnet", "scale": str(params.scale)}
    folder.mkdir(parents=True, exist_ok=True)
    run = tracking.run(
        "tune-hardnet",
        kind="study",
        tags=tags,
        params={"tune": tune.model_dump(exclude={"storage"})},  # it may hold a password
        resume_key=f"tune-{key}",
        state=folder,
    )
    with staging(folder) as place, run:
        setup = StudySetup(plan, tune, place / "new", folder, device)
        for part, cases in ((TRAINING, training), (VALIDATION, validation)):
            into = setup.stacks / part
            store_stacks(cases, paths.CENTRELINES, plan.spec, target, into, workers=params.workers)
        study = open_study(setup, f"hardnet-{key}")
        logged = tracking.finished_children()
        for trial in finished(study):  # one that ended just before the study was killed
            if _name(trial) not in logged:
                _log(trial, tags, key)
        with tqdm(total=tune.trials, initial=len(finished(study)), desc="trials") as bar:
            while len(finished(study)) < tune.trials:
                _log(run_next(study, setup), tags, key)
                bar.update()
        with folder_in_one_piece(paths.TUNING) as out:
            found = write_report(study, out, tune.memory_budget_mb, hardnet.untuned.model_dump())
        _log_study(paths.TUNING, found)
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
