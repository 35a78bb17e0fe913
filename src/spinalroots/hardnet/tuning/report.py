"""The study on paper: best parameters, a table of all trials, Pareto front and importance."""

from pathlib import Path

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from spinalroots import pictures
from spinalroots.files import write_bytes, write_json, write_table
from spinalroots.hardnet.tuning.study import best_trial, feasible, finished

FIGURES = ("dice", "dice_levels", "peak_memory_mb", "outcome")


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row a trial: figures, feasibility, and the parameters tried."""
    rows = [
        {
            "trial": trial.number,
            **{name: trial.user_attrs.get(name) for name in FIGURES},
            "feasible": feasible(trial),
            **trial.params,
        }
        for trial in finished(study)
    ]
    return pd.DataFrame(rows)


def importance(study: optuna.Study, fixed: list[str]) -> dict[str, float]:
    """Share of each parameter that is not `fixed` in the variance of the Dice; empty where trials
    are too few."""
    complete = [trial for trial in finished(study) if trial.values]
    if len(complete) < 3 or len({trial.values[0] for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(
        study, evaluator=evaluator, target=lambda trial: trial.values[0]
    )
    return {name: share for name, share in shares.items() if name not in fixed}


def write_report(study: optuna.Study, folder: Path, budget_mb: float, fallback: dict) -> dict:
    """Write best_params.json, trials.csv, pareto.png and importance.png; return the first.

    :param fallback: parameters to train with when no trial fits the budget (`feasible` is false).
    """
    best = best_trial(study)
    record = {
        "params": best.params if best else fallback,
        "trial": best.number if best else None,
        "dice": round(best.values[0], 4) if best else None,
        "peak_memory_mb": round(best.values[1], 1) if best else None,
        "memory_budget_mb": budget_mb,
        "feasible": best is not None,
    }
    if best and "learning_rate" in best.params:
        record["params"] = {**best.params, "learning_rate": round(best.params["learning_rate"], 6)}
    write_json(folder / "best_params.json", record)
    write_table(folder / "trials.csv", trials_table(study))
    write_bytes(folder / "pareto.png", _pareto_picture(study, budget_mb))
    choices = study.trials[0].distributions
    fixed = [name for name, among in choices.items() if among.single()]
    write_bytes(folder / "importance.png", _importance_picture(importance(study, fixed), fixed))
    return record


def _pareto_picture(study: optuna.Study, budget_mb: float) -> bytes:
    figure, axes = _axes()
    known = [trial for trial in finished(study) if trial.user_attrs.get("peak_memory_mb")]
    kinds = {
        "within the budget": ("tab:green", "o", lambda trial: feasible(trial) and trial.values),
        "stopped early": ("tab:orange", "X", lambda trial: feasible(trial) and not trial.values),
        "over the budget": ("tab:red", "X", lambda trial: not feasible(trial)),
    }
    for label, (colour, marker, belongs) in kinds.items():
        points = [_point(trial) for trial in known if belongs(trial)]
        if points:
            axes.scatter(*zip(*points, strict=True), c=colour, marker=marker, s=55, label=label)
    for trial in known:
        axes.annotate(str(trial.number), _point(trial), (6, 4), textcoords="offset points")
    front = sorted(_point(trial) for trial in study.best_trials if feasible(trial))
    if front:
        axes.plot(*zip(*front, strict=True), c="tab:green", lw=1, zorder=0, label="Pareto front")
    peaks = [_point(trial)[0] for trial in known]
    if peaks and budget_mb < min(peaks) + 3 * (max(peaks) - min(peaks)) + 50:
        axes.axvline(budget_mb, c="tab:red", ls="--", lw=1, label=f"budget {budget_mb:g} MB")
    best = best_trial(study)
    if best:
        axes.scatter(*_point(best), s=190, facecolors="none", edgecolors="k", label="chosen")
    axes.set(xlabel="peak memory (MB)", ylabel="binary Dice on validation cases")
    axes.set_title(f"Trials, by number; memory budget {budget_mb:g} MB", fontsize=10)
    axes.margins(0.08)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return pictures.png(figure)


def _point(trial: FrozenTrial) -> tuple[float, float]:
    """Peak memory in MB and Dice; 0 where a trial was stopped before it had one."""
    return trial.user_attrs["peak_memory_mb"], trial.user_attrs.get("dice") or 0.0


def _importance_picture(shares: dict[str, float], fixed: list[str]) -> bytes:
    figure, axes = _axes()
    if shares:
        names = sorted(shares, key=lambda name: shares[name])
        bars = axes.barh([name.replace("_", " ") for name in names], [shares[n] for n in names])
        axes.bar_label(bars, fmt="{:.0%}", padding=3, fontsize=8)
        axes.set(xlabel="share of the variance of binary Dice (fANOVA)", xlim=(0, 1))
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        if fixed:
            axes.set_title("one choice only: " + ", ".join(fixed).replace("_", " "), fontsize=8)
    else:
        axes.text(0.5, 0.5, "fewer than three complete trials that differ", ha="center")
        axes.set_axis_off()
    return pictures.png(figure)


def _axes():
    figure = pictures.new_figure(7.5, 4)
    return figure, figure.subplots()
