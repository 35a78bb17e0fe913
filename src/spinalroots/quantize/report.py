"""The comparison in MLflow: a run per export, and one that holds the table."""

from __future__ import annotations

from dataclasses import asdict
from numbers import Real
from pathlib import Path

import numpy as np

from spinalroots.pipeline import tracking
from spinalroots.pipeline.params import Params
from spinalroots.quantize.compare import Row, frame
from spinalroots.registry.models import MODELS


def to_mlflow(rows: list[Row], params: Params, picture: Path) -> None:
    """Log the rows as runs below one run with the whole table and the picture."""
    import mlflow

    settings = params.quantize.model_dump(mode="json")
    with tracking.run(
        "quantization", kind="quantization", tags={"scale": params.scale}, params=settings
    ):
        mlflow.log_table(frame(rows), "quantization.json")
        mlflow.log_artifact(str(picture))
        for row in rows:
            model = MODELS[row.model]
            tags = {
                "model": row.model,
                "family": model.family,
                "region": model.region,
                "target": model.scheme,
                "precision": row.precision,
                "runtime": row.runtime,
                "recommended": str(row.recommended).lower(),
                "scale": params.scale,
            }
            name = f"{row.model} {row.runtime} {row.precision}"
            with tracking.run(name, kind="quantization", tags=tags, nested=True):
                mlflow.log_metrics(metrics(row))


def metrics(row: Row) -> dict[str, float]:
    """The row's finite numbers, by name."""
    return {
        name: float(value)
        for name, value in asdict(row).items()
        if isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(value)
    }
