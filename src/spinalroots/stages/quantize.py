"""Stage `quantize`: every export of the chosen models, measured side by side, one recommended."""

from dataclasses import asdict
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json, write_json, write_table
from spinalroots.pipeline import tracking
from spinalroots.pipeline.logged_data import Data
from spinalroots.pipeline.params import Params
from spinalroots.predict.trained import TrainedModel
from spinalroots.quantize import figure
from spinalroots.quantize.cases import MeasuredCase, calibration_inputs
from spinalroots.quantize.compare import Comparison
from spinalroots.quantize.measure import make_ready
from spinalroots.quantize.rows import TABLE, Row, as_record
from spinalroots.registry import paths
from spinalroots.registry.models import MODELS

PICTURE = paths.FIGURES / "quantization.png"


def main(params: Params) -> None:
    """Write models/exports, the two tables and the picture, and log every export to MLflow."""
    make_ready()
    split = read_json(paths.SPLIT)
    rows: list[Row] = []
    with folder_in_one_piece(paths.EXPORTS) as staging:
        recommended = {}
        for name in params.quantize.models:
            inference = getattr(params.inference, MODELS[name].family)
            model = TrainedModel(paths.TRAINED / name, inference)
            comparison = _comparison(params, model, staging / name, split)
            compared = comparison.run()
            best = next(row for row in compared if row.recommended)
            recommended[name] = as_record(
                best,
                params.quantize.max_dice_loss,
                model.made_from,
                [case.name for case in comparison.judges],
            )
            rows += compared
        write_json(staging / paths.RECOMMENDED.name, recommended)
    table = pd.DataFrame(rows)
    write_table(paths.TABLE_QUANTIZATION, table[list(TABLE)].round(4))
    write_table(paths.REPORTS / "quantization_details.csv", table.round(5))
    figure.save(PICTURE, rows)
    _to_mlflow(rows, params, split["test"])


def _comparison(params: Params, model: TrainedModel, folder: Path, split: dict) -> Comparison:
    settings = params.quantize
    truth, refined = Dataset(paths.TRUTH), Dataset(paths.REFINED)
    cases = {
        one.name: MeasuredCase(one, paths.SCAN_CENTRELINES / f"{one.name}.json", truth, refined)
        for one in selected_cases(params.data, paths.RAW)
    }
    judges = (split["validation"] or split["train"])[: settings.validation_cases]
    scans = [(refined.image(name), paths.CENTRELINES / f"{name}.json") for name in split["train"]]
    return Comparison(
        model,
        folder,
        settings,
        tests=[cases[name] for name in split["test"][: settings.test_cases or None]],
        judges=[cases[name] for name in judges],
        calibration=calibration_inputs(
            model.predictor(), scans, settings.calibration_samples, params.seed
        ),
        seed=params.seed,
    )


def _to_mlflow(rows: list[Row], params: Params, test: list[str]) -> None:
    """A run an export, below one with the whole table and the picture."""
    import mlflow

    settings = params.quantize.model_dump(mode="json")
    common = {"scale": params.scale}
    with tracking.run("quantization", kind="quantization", tags=common, params=settings):
        mlflow.log_table(pd.DataFrame(rows), "quantization.json")
        mlflow.log_artifact(str(PICTURE))
        for row in rows:
            tags = {
                **tracking.tags_of(MODELS[row.model], params.scale),
                "precision": row.precision,
                "runtime": row.runtime,
                "recommended": str(row.recommended).lower(),
            }
            name = f"{row.model} {row.runtime} {row.precision}"
            measured = test[: params.quantize.test_cases or None]
            classes = MODELS[row.model].target().class_names
            data = [Data(paths.REFINED, measured, classes, "test")]
            with tracking.run(name, kind="quantization", tags=tags, data=data, nested=True):
                mlflow.log_metrics(metrics(row))


def metrics(row: Row) -> dict[str, float]:
    """The row's finite numbers, by name."""
    return {
        name: float(value)
        for name, value in asdict(row).items()
        if isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    }
