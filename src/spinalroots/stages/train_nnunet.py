"""Stage `train_nnunet@ROW`: data/nnunet/ROW → models/trained/nnunet-ROW."""

from __future__ import annotations

from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import nnunet_row


def main(params: Params, row: str | None = None) -> None:
    """Train one row of the comparison; the same command goes on after a kill."""
    from spinalroots.nnunet.training import train

    model = nnunet_row(row)
    train(params, model, paths.NNUNET / model.row, paths.TRAINED / model.name)
