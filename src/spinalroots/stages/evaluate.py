"""Stage `evaluate`: every metric on the test cases, Table I, the expert's scores, warnings."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from spinalroots import tracking
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import PHANTOM, selected_cases
from spinalroots.errors import InputError
from spinalroots.evaluate import expert_scores, plausibility, tables
from spinalroots.evaluate.reference import read_annotation, read_maps, read_truth, require_unseen
from spinalroots.evaluate.scores import measure
from spinalroots.files import read_json, write_json, write_text
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import require_same_grid
from spinalroots.models import MODELS, Model
from spinalroots.params import Params

PREDICTED = Path("data/postprocessed")
TRUTH = Dataset(Path("data/truth"))
REFINED = Dataset(Path("data/refined"))
CENTRELINES = Path("data/centreline/raw")
SPLIT = Path("data/split.json")
SCORES = Path("data/expert_scores.csv")
REPORTS = Path("reports")


def main(params: Params) -> None:
    """Score every postprocessed model on every test case and write the tables."""
    split = read_json(SPLIT)
    require_unseen(split["test"], split)
    sources = {case.name: case.source for case in selected_cases(params)}
    models = [model for name, model in MODELS.items() if (PREDICTED / name).is_dir()]
    if not models:
        raise InputError(
            PREDICTED,
            expected="a folder per model",
            found="none",
            fix="Run `dvc repro postprocess`.",
        )
    jobs = [(model, case) for model in models for case in split["test"]]
    scored = Parallel(n_jobs=min(params.workers, len(jobs)))(
        delayed(_score)(model, case, sources[case], params) for model, case in jobs
    )
    cases = pd.DataFrame(
        [row for rows, _ in scored for row in rows], columns=list(tables.CASE_COLUMNS)
    )
    human = _human_scores(split)
    resampling = {"seed": params.seed, "resamples": params.evaluate.bootstrap_resamples}
    metrics = tables.metrics(cases, **resampling)
    _write_csv("metrics_cases.csv", cases)
    _write_csv("table_models.csv", tables.table_models(cases, human))
    _write_csv("table_expert_scores.csv", tables.table_expert_scores(cases, human))
    _write_csv("comparisons.csv", tables.comparisons(cases, **resampling))
    write_json(REPORTS / "metrics.json", metrics)
    write_json(REPORTS / "plausibility.json", [warning for _, found in scored for warning in found])
    for model in models:
        _track(model, cases[cases["model"] == model.name], metrics[model.name], human, params)


def _score(model: Model, case: str, source: str, params: Params) -> tuple[list[tuple], list[dict]]:
    """Rows of the long table, and the warnings, of one model's prediction of one case."""
    target = model.target()
    folder = Dataset(PREDICTED / model.name)
    whole = read_maps(folder, case)
    if source == PHANTOM:
        reference = read_truth(TRUTH, case, target)
    else:
        reference = read_annotation(REFINED, case, target, whole.levels.grid)
    require_same_grid(PREDICTED / model.name / case, whole.levels, case, reference.levels)
    centreline = Centreline.read(CENTRELINES / f"{case}.json")
    found = measure(
        reference, whole.restricted(target), target, model.region, centreline, params.evaluate
    )
    rows = [(model.name, case, source, one.metric, one.label, one.value) for one in found]
    warnings = plausibility.warnings(whole.individuals, centreline) if whole.individuals else []
    return rows, [{"model": model.name, "case": case, **warning} for warning in warnings]


def _human_scores(split: dict[str, list[str]]) -> list[expert_scores.Row]:
    """The experts' scores of test cases; scores of cases that a model has seen are left out."""
    rows = expert_scores.read(SCORES)
    seen = {*split.get("train", ()), *split.get("validation", ())}
    left_out = sorted({row.case for row in rows if row.case in seen})
    if left_out:
        print(
            f"warning: {SCORES}: scores of {', '.join(left_out)} are left out, as the models were "
            "trained on these cases; score test cases.",
            file=sys.stderr,
        )
    return [row for row in rows if row.case not in seen]


def _track(
    model: Model,
    cases: pd.DataFrame,
    metrics: dict[str, float | None],
    human: list[expert_scores.Row],
    params: Params,
) -> None:
    """One MLflow run with the model's metrics, its values per case, and human scores by name."""
    import mlflow

    scores = expert_scores.mean_per_case(human, model.name, model.region)
    numbers = {name: value for name, value in metrics.items() if value is not None}
    if scores:
        numbers["expert_score_human"] = math.fsum(scores.values()) / len(scores)
    tags = {
        "model": model.name,
        "region": model.region,
        "target": model.scheme,
        "scale": params.scale,
        "augmented": str(model.augmented).lower(),
        "data.source": params.data.source,
    }
    with tracking.run(
        f"evaluate {model.name}",
        kind="evaluation",
        tags=tags,
        params={"evaluate": params.evaluate.model_dump(mode="json")},
    ):
        mlflow.log_metrics(numbers)
        mlflow.log_table(cases.astype({"value": str}), "metrics_cases.json")


def _write_csv(name: str, table: pd.DataFrame) -> None:
    write_text(REPORTS / name, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
