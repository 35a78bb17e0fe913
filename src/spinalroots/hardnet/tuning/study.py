"""Tuning: an Optuna study over patch, memory settings, width and learning rate.

Two objectives, Dice up and peak memory down, and one constraint: the memory budget. Every trial is
a real short training in a process of its own (:mod:`.trial`). One that runs out
of memory, or shows after its first step that it needs more than the budget, counts as infeasible.
"""

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import optuna
from optuna.trial import FrozenTrial, TrialState

from spinalroots.errors import InputError
from spinalroots.hardnet.training.plan import TrainingPlan
from spinalroots.hardnet.tuning.process import COMPLETE, OUT_OF_MEMORY, TOO_SLOW, execute
from spinalroots.settings.hardnet import Recipe, Tunable, Tune

MEMORY = "peak_memory_over_budget_mb"
"""The constraint: feasible where it is zero or less."""

UNKNOWN_EXCESS_MB = 1.0
"""Constraint of a trial that died before it could say how much memory it needed."""


@dataclass(frozen=True)
class StudySetup:
    """What all trials of a study share: the `plan` with untuned values, what is searched, stacks on
    disk, folder and device."""

    plan: TrainingPlan
    tune: Tune
    stacks: Path
    folder: Path
    device: str = "cpu"


def search_space(recipe: Recipe, tune: Tune) -> dict[str, list | tuple[float, float]]:
    """Name → choices, or (low, high) of the learning rate.

    2D has no patch depth and 3D no neighbours.
    """
    useless = "neighbours" if recipe.dim == 3 else "patch_slices"
    names = [name for name in Tunable.model_fields if name != useless]
    return {name: getattr(tune, name) for name in names if getattr(tune, name)}


def suggest(trial: optuna.Trial, space: dict) -> dict:
    """Values of one trial."""
    values = {}
    for name, choices in space.items():
        if isinstance(choices, tuple):
            values[name] = round(trial.suggest_float(name, *choices, log=True), 6)
        else:
            values[name] = trial.suggest_categorical(name, choices)
    return values


def open_study(setup: StudySetup, name: str) -> optuna.Study:
    """Create the study, or go on with it: in a journal file, or in the storage of the parameters.

    In our own journal a trial still marked as running was killed: it is closed, and tried again.

    :raises InputError: as :func:`shared_storage`.
    """
    if setup.tune.storage:
        storage = shared_storage(setup.tune.storage)
    else:
        setup.folder.mkdir(parents=True, exist_ok=True)
        backend = optuna.storages.journal.JournalFileBackend(str(setup.folder / "journal.log"))
        storage = optuna.storages.JournalStorage(backend)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    if not setup.tune.storage:
        for killed in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(killed.number, state=TrialState.FAIL)
            study.enqueue_trial(killed.params)
    return study


def shared_storage(url: str) -> optuna.storages.RDBStorage:
    """The data base at `url`, its tables made by whichever machine comes first.

    :raises InputError: it cannot be reached, or its driver is not installed.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import IntegrityError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

    found: Exception
    for _ in range(5):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        except (IntegrityError, ProgrammingError) as error:
            found = error  # most likely another machine that made the same table at this moment
            time.sleep(1)
        except (SQLAlchemyError, ImportError) as error:
            found = error
            break
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        shown = "an address that is none"
    fix = "Start it, or correct the address; docs/scaling.md shows how."
    if isinstance(found, (ImportError, NoSuchModuleError)):
        fix = "Install its driver: pip install 'spinalroots[servers]'."
    raise InputError(
        "tune.storage",
        expected="a data base that can be written to, such as postgresql://tuner@host/studies",
        found=f"{shown}: {str(found).splitlines()[0]}",
        fix=fix,
    ) from found


def ask(study: optuna.Study, setup: StudySetup) -> tuple[optuna.Trial, dict]:
    """A new trial and its values. The first one tries `untuned`, the others what the sampler says.

    The sampler's seed is the trial's place among those that were not killed: machines that ask at
    once have different places, and a study that was killed and resumed asks for what an undisturbed
    one would have asked for. Trials that are still running elsewhere are kept away from.
    """
    trial = study.ask()
    space = search_space(setup.plan.recipe, setup.tune)
    place = sum(
        other.number < trial.number and other.state is not TrialState.FAIL
        for other in study.get_trials(deepcopy=False)
    )
    study.sampler = optuna.samplers.TPESampler(
        seed=setup.plan.seed + place,
        n_startup_trials=min(10, max(4, setup.tune.trials // 2)),
        multivariate=False,
        constant_liar=True,
    )
    start = {name: getattr(setup.plan.tuned, name) for name in space}
    if place == 0 and all(_contains(choices, start[name]) for name, choices in space.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.PartialFixedSampler(start, study.sampler)
    return trial, suggest(trial, space)


def _contains(choices: list | tuple[float, float], value) -> bool:
    if isinstance(choices, tuple):
        return choices[0] <= value <= choices[1]
    return value in choices


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: complete or pruned (infeasible ones too), not those killed."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def run_next(study: optuna.Study, setup: StudySetup) -> FrozenTrial:
    """Run one more trial."""
    trial, values = ask(study, setup)
    result = execute(
        request(setup, values),
        setup.folder / f"trial-{trial.number}.json",
        timeout_s=setup.tune.trial_timeout_s,
        budget_mb=setup.tune.memory_budget_mb,
        dice_to_reach=_halfway_median(study),
    )
    for key, value in result.items():
        trial.set_user_attr(key, value)
    peak = result.get("peak_memory_mb")
    excess = UNKNOWN_EXCESS_MB if peak is None else peak - setup.tune.memory_budget_mb
    if result["outcome"] in (OUT_OF_MEMORY, TOO_SLOW):
        excess = max(excess, UNKNOWN_EXCESS_MB)
    trial.set_constraint(MEMORY, excess)
    if result["outcome"] == COMPLETE:
        study.tell(trial, [result["dice"], peak])
    else:
        study.tell(trial, state=TrialState.PRUNED)
    return study.get_trials(deepcopy=False)[trial.number]


def request(setup: StudySetup, values: dict) -> dict:
    """What a trial's process is told."""
    tuned = setup.plan.tuned.model_copy(update=values)
    return {
        "plan": replace(setup.plan, tuned=tuned).as_dict(),
        "stacks": str(setup.stacks),
        "megavoxels": setup.tune.trial_megavoxels,
        "prune_after": setup.tune.prune_after,
        "device": setup.device,
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
