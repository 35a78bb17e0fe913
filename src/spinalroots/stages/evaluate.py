"""Stage `evaluate`: every metric on the test cases, Table I, the expert's scores, warnings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from spinalroots.dataset.layout import FOREGROUND, UNTRAINED, Dataset
from spinalroots.dataset.selection import PHANTOM, SelectedCase, selected_cases
from spinalroots.errors import InputError
from spinalroots.expert import scores as expert_scores
from spinalroots.expert import versions as scored
from spinalroots.files import read_json, write_json, write_text
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, require_same_grid
from spinalroots.metrics import tables
from spinalroots.metrics.baseline import baselines
from spinalroots.metrics.calibration import Reliability, reliability
from spinalroots.metrics.reference import read_annotation, read_maps, read_truth, require_unseen
from spinalroots.metrics.scores import measure
from spinalroots.pipeline import tracking
from spinalroots.pipeline.params import Params
from spinalroots.quality import appearance, plausibility
from spinalroots.registry.models import MODELS, Model
from spinalroots.registry.paths import RAW

PREDICTED = scored.PREDICTED
NETWORK_OUTPUT = Path("data/predictions")
TRUTH = Dataset(Path("data/truth"))
REFINED = Dataset(Path("data/refined"))
CENTRELINES = Path("data/centreline/raw")
SPLIT = Path("data/split.json")
APPEARANCE = Path("models") / appearance.FILE
SCORES = Path("data/expert_scores.csv")
REPORTS = Path("reports")


def main(params: Params) -> None:
    """Score every postprocessed model on every test case and write the tables."""
    split = read_json(SPLIT)
    require_unseen(split["test"], split)
    selected = {case.name: case for case in selected_cases(params.data, RAW)}
    models = [model for name, model in MODELS.items() if (PREDICTED / name).is_dir()]
    if not models:
        raise InputError(
            PREDICTED,
            expected="a folder per model",
            found="none",
            fix="Run `dvc repro postprocess`.",
        )
    jobs = [(model, case) for model in models for case in split["test"]]
    pool = Parallel(n_jobs=min(params.workers, len(jobs)))
    training = appearance.read(APPEARANCE)
    unlike = dict(
        zip(
            split["test"],
            pool(delayed(_unlike_training)(selected[case], training) for case in split["test"]),
            strict=True,
        )
    )
    results = pool(
        delayed(_score)(model, case, selected[case].source, params) for model, case in jobs
    )
    cases = pd.DataFrame(
        [row for one in results for row in one.rows], columns=list(tables.CASE_COLUMNS)
    )
    human = _human_scores(split)
    resampling = {"seed": params.seed, "resamples": params.evaluate.bootstrap_resamples}
    curves = _curves(jobs, results)
    metrics = tables.metrics(cases, **resampling)
    for name, curve in curves.items():
        metrics[name]["calibration_error"] = round(curve.expected_error, 6)
    _write_csv("metrics_cases.csv", cases)
    _write_csv("metrics_summary.csv", tables.summary(cases, **resampling))
    _write_csv("table_models.csv", tables.table_models(cases, human))
    by_region = tables.table_expert_scores(cases, human)
    _write_csv("table_expert_scores.csv", by_region)
    _write_csv("comparisons.csv", tables.comparisons(cases, **resampling))
    write_json(REPORTS / "metrics.json", metrics)
    _write_csv("calibration.csv", tables.calibration(curves))
    warnings = [
        {"model": model.name, "case": case, **warning}
        for (model, case), one in zip(jobs, results, strict=True)
        for warning in (*one.warnings, *unlike[case])
    ]
    write_json(REPORTS / "plausibility.json", warnings)
    for model in models:
        _track(model, *_own(model, cases, by_region), metrics[model.name], params)


@dataclass(frozen=True)
class Scored:
    """One model's prediction of one case: rows of the long table, warnings, reliability counts."""

    rows: list[tuple]
    warnings: list[dict]
    reliability: Reliability | None


def _score(model: Model, case: str, source: str, params: Params) -> Scored:
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
    untrained = Dataset(NETWORK_OUTPUT / model.name).map(case, UNTRAINED)
    found += baselines(untrained, reference, str(model.region))
    probability = _root_probability(model, case)
    warnings = []
    if whole.individuals is not None:
        warnings = plausibility.warnings(whole.individuals, centreline, probability)
    return Scored(
        [(model.name, case, source, one.metric, one.label, one.value) for one in found],
        warnings,
        probability and reliability(probability.data, reference.levels.data),
    )


def _unlike_training(
    case: SelectedCase, training: dict[str, dict[str, float]]
) -> list[dict[str, object]]:
    """Warnings about a scan that looks unlike the training scans, whatever the model."""
    scan = read_image(case.dataset.image(case.name))
    centreline = Centreline.read(CENTRELINES / f"{case.name}.json")
    return plausibility.unlike_training(appearance.measure(scan, centreline), training)


def _root_probability(model: Model, case: str) -> Volume | None:
    """P(any target root) as the network gave it, if it was kept."""
    path = Dataset(NETWORK_OUTPUT / model.name).map(case, FOREGROUND)
    return read_image(path) if path.is_file() else None


def _curves(jobs: list[tuple[Model, str]], results: list[Scored]) -> dict[str, Reliability]:
    """Model → reliability counts summed over its cases, where probabilities were kept."""
    curves: dict[str, Reliability] = {}
    for (model, _), one in zip(jobs, results, strict=True):
        if one.reliability is not None:
            before = curves.get(model.name)
            curves[model.name] = before + one.reliability if before else one.reliability
    return curves


def _human_scores(split: dict[str, list[str]]) -> list[expert_scores.Row]:
    """The experts' scores of what the models predict now for test cases; others are left out.

    :raises InputError: a row of the file is not valid, or names a case that is not there.
    """
    rows = expert_scores.read(SCORES, expert_scores.known_cases())
    tested = set(split["test"])
    _leave_out(
        [row for row in rows if row.case not in tested],
        "the models were trained on these cases, or did not predict them; score test cases.",
    )
    rows = [row for row in rows if row.case in tested]
    about = {(row.model, row.case) for row in rows if (PREDICTED / row.model).is_dir()}
    now = {(model, case): scored.current_version(model, case) for model, case in sorted(about)}
    current = [row for row in rows if row.prediction and row.prediction == now.get(_of(row))]
    _leave_out(
        [row for row in rows if row not in current],
        "they are about another version of the prediction, or do not say which; the model has "
        "changed since.",
    )
    return current


def _of(row: expert_scores.Row) -> tuple[str, str]:
    return row.model, row.case


def _leave_out(rows: list[expert_scores.Row], why: str) -> None:
    """Say which scores do not count; they stay in the file."""
    if rows:
        names = ", ".join(sorted({f"{row.case} ({row.model})" for row in rows}))
        print(f"warning: {SCORES}: scores of {names} are left out: {why}", file=sys.stderr)


def _own(model: Model, *tables: pd.DataFrame) -> list[pd.DataFrame]:
    """The model's rows of every table."""
    return [table[table["model"] == model.name] for table in tables]


def _track(
    model: Model,
    cases: pd.DataFrame,
    expert: pd.DataFrame,
    metrics: dict[str, float],
    params: Params,
) -> None:
    """One MLflow run: the model's metrics, its expert scores by source and region, its cases."""
    import mlflow

    scores = {
        f"expert_score_{row.expert_score_source}_{row.region}": row.mean
        for row in expert.itertuples()
    }
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
        mlflow.log_metrics(metrics | scores)
        mlflow.log_table(cases.astype({"value": str}), "metrics_cases.json")


def _write_csv(name: str, table: pd.DataFrame) -> None:
    write_text(REPORTS / name, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
