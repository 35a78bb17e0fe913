"""Which export to use: a rule, not a taste."""

from __future__ import annotations

from spinalroots.quantize.compare import Row
from spinalroots.quantize.variants import REFERENCE

SAME_SIZE = 1.05
"""Exports within 5 % of the smallest count as equally small; the fastest of them wins."""


def recommend(rows: list[Row], max_dice_loss: float) -> Row:
    """The smallest export that loses at most `max_dice_loss` of fp32's Dice on validation cases.

    The validation cases decide and the test cases are only reported, so that the reported Dice
    stays an honest one. PyTorch fp32 itself is always admissible.

    :param rows: the exports of one model, PyTorch fp32 among them.
    """
    admissible = [row for row in rows if is_reference(row) or keeps_dice(row, max_dice_loss)]
    smallest = min(row.size_mb for row in admissible)
    return min(
        (row for row in admissible if row.size_mb <= SAME_SIZE * smallest),
        key=lambda row: (row.inference_s, row.size_mb),
    )


def keeps_dice(row: Row, max_dice_loss: float) -> bool:
    """Whether the loss on the validation cases is within the limit; False where it is unknown."""
    return -row.validation_dice_change <= max_dice_loss


def is_reference(row: Row) -> bool:
    """Whether the row is PyTorch fp32's."""
    return (row.precision, row.runtime) == (str(REFERENCE.precision), str(REFERENCE.runtime))


def as_record(chosen: Row, max_dice_loss: float) -> dict:
    """What recommended.json says of a model: the export's folder, and why it was chosen."""
    return {
        "export": f"{chosen.runtime}-{chosen.precision}",
        "precision": chosen.precision,
        "runtime": chosen.runtime,
        "size_mb": round(chosen.size_mb, 3),
        "dice_change_on_validation": round(chosen.validation_dice_change, 5),
        "max_dice_loss": max_dice_loss,
        "rule": "smallest export within the Dice loss limit; the fastest of those within 5 % of it",
    }
