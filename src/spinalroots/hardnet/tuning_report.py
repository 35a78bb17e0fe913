"""The study on paper: best parameters, a table of all trials, Pareto front and importance."""

from __future__ import annotations

from pathlib import Path

import optuna
import pandas as pd

from spinalroots.files import write_bytes, write_json, write_text
from spinalroots.hardnet.trial_process import COMPLETE
from spinalroots.hardnet.tuning import best_trial, feasible, finished

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


def importance(study: optuna.Study) -> dict[str, float]:
    """Share of each parameter in the variance of the Dice; empty where trials are too few."""
    complete = [trial for trial in finished(study) if trial.values]
    if len(complete) < 3 or len({trial.values[0] for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(
        study, evaluator=evaluator, target=lambda trial: trial.values[0]
    )


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
    table = trials_table(study)
    write_text(folder / "trials.csv", table.to_csv(index=False, lineterminator="\n"))
    write_bytes(folder / "pareto.png", _pareto_picture(study, budget_mb))
    write_bytes(folder / "importance.png", _importance_picture(importance(study)))
    return record


def _pareto_picture(study: optuna.Study, budget_mb: float) -> bytes:
    figure, axes = _axes()
    front = {trial.number for trial in study.best_trials if feasible(trial)}
    for trial in finished(study):
        peak = trial.user_attrs.get("peak_memory_mb")
        if peak is None:
            continue
        complete = trial.user_attrs["outcome"] == COMPLETE
        colour = "tab:green" if feasible(trial) else "tab:red"
        value = trial.user_attrs.get("dice") or 0.0
        axes.scatter(peak, value, c=colour, marker="o" if complete else "x", s=50)
        axes.annotate(f" {trial.number}", (peak, value))
    chosen = sorted(t.values[::-1] for t in finished(study) if t.number in front and t.values)
    if chosen:
        axes.plot(*zip(*chosen, strict=True), c="tab:green", lw=1, label="Pareto front")
    axes.axvline(budget_mb, c="tab:red", ls="--", lw=1, label="memory budget")
    axes.set(xlabel="peak memory (MB)", ylabel="binary Dice on validation cases")
    axes.set_title("Trials: o complete, x stopped; red: over the budget", fontsize=9)
    axes.legend(loc="lower right", fontsize=8)
    return _png(figure)


def _importance_picture(shares: dict[str, float]) -> bytes:
    figure, axes = _axes()
    if shares:
        names = sorted(shares, key=shares.get)
        axes.barh(names, [shares[name] for name in names])
        axes.set(xlabel="share of the variance of Dice (fANOVA)")
    else:
        axes.text(0.5, 0.5, "fewer than three complete trials that differ", ha="center")
        axes.set_axis_off()
    return _png(figure)


def _axes():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=110, layout="constrained")
    return figure, figure.subplots()


def _png(figure) -> bytes:
    import io

    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
