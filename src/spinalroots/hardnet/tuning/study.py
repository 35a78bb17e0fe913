"""Tuning: an Optuna study over patch, memory settings, width and learning rate.

Two objectives, Dice up and peak memory down, and one constraint: the memory budget. Every trial is
a real short training in a process of its own (:mod:`.trial`). One that runs out
of memory, or shows after its first step that it needs more than the budget, counts as infeasible.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import optuna
from optuna.trial import FrozenTrial, TrialState

from spinalroots.hardnet.tuning.process import COMPLETE, OUT_OF_MEMORY, TOO_SLOW, execute
from spinalroots.registry.anatomy import Target
from spinalroots.settings.augment import Transforms
from spinalroots.settings.hardnet import Hardnet, Tune

MEMORY = "peak_memory_over_budget_mb"
"""The constraint: feasible where it is zero or less."""

UNKNOWN_EXCESS_MB = 1.0
"""Constraint of a trial that died before it could say how much memory it needed."""


@dataclass(frozen=True)
class Bench:
    """What all trials of a study share: parameters, target, cases on disk, device, folder, seed."""

    hardnet: Hardnet
    tune: Tune
    target: Target
    cases: Path
    folder: Path
    seed: int
    device: str = "cpu"
    class_weights: tuple[float, ...] | None = None
    transforms: Transforms | None = None


def search_space(hardnet: Hardnet, tune: Tune) -> dict[str, list | tuple[float, float]]:
    """Name → choices, or (low, high) of the learning rate; without what params.yaml fixes.

    2D has no patch depth and 3D no neighbours.
    """
    useless = "neighbours" if hardnet.dim == 3 else "patch_slices"
    names = [name for name in type(hardnet.untuned).model_fields if name != useless]
    space = {name: getattr(tune, name) for name in names if name not in hardnet.given}
    return {name: choices for name, choices in space.items() if choices}


def suggest(trial: optuna.Trial, space: dict) -> dict:
    """Values of one trial."""
    values = {}
    for name, choices in space.items():
        if isinstance(choices, tuple):
            values[name] = round(trial.suggest_float(name, *choices, log=True), 6)
        else:
            values[name] = trial.suggest_categorical(name, choices)
    return values


def open_study(bench: Bench, name: str) -> optuna.Study:
    """Create the study, or go on with it: in a journal file, or in the storage of the parameters.

    In our own journal a trial still marked as running was killed: it is closed, and tried again.
    """
    if bench.tune.storage:
        storage = bench.tune.storage
    else:
        bench.folder.mkdir(parents=True, exist_ok=True)
        backend = optuna.storages.journal.JournalFileBackend(str(bench.folder / "journal.log"))
        storage = optuna.storages.JournalStorage(backend)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    if not bench.tune.storage:
        for killed in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(killed.number, state=TrialState.FAIL)
            study.enqueue_trial(killed.params)
    if not study.get_trials(deepcopy=False):
        space = search_space(bench.hardnet, bench.tune)
        start = bench.hardnet.untuned.model_dump()
        if all(_contains(choices, start[name]) for name, choices in space.items()):
            study.enqueue_trial({name: start[name] for name in space})
    return study


def _contains(choices: list | tuple[float, float], value) -> bool:
    if isinstance(choices, tuple):
        return choices[0] <= value <= choices[1]
    return value in choices


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: complete or pruned (infeasible ones too), not those killed."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def run_next(study: optuna.Study, bench: Bench) -> FrozenTrial:
    """Run one more trial. The sampler's seed depends on how many are done, so that a study that was
    killed and resumed asks for what an undisturbed one would have asked for."""
    done = len(finished(study))
    study.sampler = optuna.samplers.TPESampler(
        seed=bench.seed + done, n_startup_trials=min(10, max(4, bench.tune.trials // 2))
    )
    trial = study.ask()
    values = suggest(trial, search_space(bench.hardnet, bench.tune))
    result = execute(
        request(bench, values),
        bench.folder / f"trial-{trial.number}.json",
        timeout_s=bench.tune.trial_timeout_s,
        budget_mb=bench.tune.memory_budget_mb,
        dice_to_reach=_halfway_median(study),
    )
    for key, value in result.items():
        trial.set_user_attr(key, value)
    peak = result.get("peak_memory_mb")
    excess = UNKNOWN_EXCESS_MB if peak is None else peak - bench.tune.memory_budget_mb
    if result["outcome"] in (OUT_OF_MEMORY, TOO_SLOW):
        excess = max(excess, UNKNOWN_EXCESS_MB)
    trial.set_constraint(MEMORY, excess)
    if result["outcome"] == COMPLETE:
        study.tell(trial, [result["dice"], peak])
    else:
        study.tell(trial, state=TrialState.PRUNED)
    return study.get_trials(deepcopy=False)[trial.number]


def request(bench: Bench, values: dict) -> dict:
    """What a trial's process is told."""
    return {
        "hardnet": bench.hardnet.model_dump(mode="json"),
        "tuned": {**bench.hardnet.tunable().model_dump(), **values},
        "target": bench.target.as_dict(),
        "cases": str(bench.cases),
        "megavoxels": bench.tune.trial_megavoxels,
        "prune_after": bench.tune.prune_after,
        "device": bench.device,
        "seed": bench.seed,
        "class_weights": bench.class_weights,
        "transforms": bench.transforms and bench.transforms.model_dump(),
    }


def _halfway_median(study: optuna.Study) -> float | None:
    """Median Dice halfway of the trials so far; None for fewer than two.

    Optuna's own pruners refuse several objectives, so the median rule is spelled out here.
    """
    seen = [trial.user_attrs.get("dice_halfway") for trial in finished(study)]
    seen = [value for value in seen if value is not None]
    return median(seen) if len(seen) >= 2 else None


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial with the highest Dice within the memory budget; None if there is none."""
    fitting = [trial for trial in finished(study) if trial.values and feasible(trial)]
    return max(fitting, key=lambda trial: (trial.values[0], -trial.values[1]), default=None)


def feasible(trial: FrozenTrial) -> bool:
    """Whether the trial stayed within the memory budget."""
    return all(value <= 0 for value in trial.constraints.values())
