"""Stage `cards`: what each model and the data are, in words and figures → reports/*-card.md."""

from pathlib import Path

from spinalroots.files import folder_in_one_piece, write_text
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import models_below
from spinalroots.report import cards
from spinalroots.report.inputs import Inputs


def main(params: Params) -> None:
    """Write a card for every trained model, one page of them, and the data's."""
    inputs = Inputs(Path("."))
    names = [model.name for model in models_below(paths.TRAINED, "train_nnunet train_hardnet")]
    with folder_in_one_piece(paths.CARDS) as folder:
        for name in names:
            write_text(folder / f"{name}.md", cards.model_card(inputs, name))
    write_text(paths.MODEL_CARD, cards.model_page(inputs, names))
    write_text(paths.DATA_CARD, cards.data_card(inputs))
