"""Stage `train_nnunet@ROW`: data/nnunet/ROW → models/nnunet-ROW."""

from __future__ import annotations

from pathlib import Path

from spinalroots.nnunet import environment
from spinalroots.pipeline.params import Params
from spinalroots.registry.models import MODELS


def main(params: Params, row: str) -> None:
    """Train one row of the comparison; the same command goes on after a kill."""
    from spinalroots.nnunet.training import train

    model = MODELS[f"nnunet-{row}"]
    train(params, model, environment.DATA / row, Path("models") / model.name)
