"""Which export to use: a rule, not a taste."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spinalroots.quantize.rows import Row
from spinalroots.registry.variants import REFERENCE

SAME_SIZE, SAME_SIZE_MB = 1.2, 1.0
"""Exports up to a fifth or a megabyte larger than the smallest count as equally small, since
formats differ in what they store besides the weights; the fastest of them comes first."""


def recommend(rows: list[Row], judge: Callable[[Row], float], max_dice_loss: float) -> Row:
    """The smallest export that loses at most `max_dice_loss` of fp32's Dice on validation cases.

    The validation cases decide and the test cases are only reported, so that the reported Dice
    stays an honest one. PyTorch fp32 itself is always admissible.

    :param rows: the exports of one model, PyTorch fp32 among them.
    :param judge: Dice change against PyTorch fp32 on the validation cases; NaN: unknown. Asked only
        for exports that come into question, because it takes a prediction.
    """
    left = list(rows)
    while True:
        smallest = min(row.size_mb for row in left)
        limit_mb = max(SAME_SIZE * smallest, smallest + SAME_SIZE_MB)
        small = [row for row in left if row.size_mb <= limit_mb]
        best = min(small, key=lambda row: (row.inference_s, row.size_mb))
        if best.variant == REFERENCE or keeps_dice(judge(best), max_dice_loss):
            return best
        left.remove(best)


def keeps_dice(change: float, max_dice_loss: float) -> bool:
    """Whether a Dice change is within the limit; False for NaN."""
    return -change <= max_dice_loss


def as_record(chosen: Row, max_dice_loss: float, made_from: Mapping[str, str]) -> dict:
    """What recommended.json says of a model: the export's folder, and why it was chosen.

    :param made_from: file of the trained model → sha256.
    """
    change = 0.0 if chosen.variant == REFERENCE else round(chosen.validation_dice_change, 5)
    return {
        "export": chosen.export,
        "precision": chosen.precision,
        "runtime": chosen.runtime,
        "size_mb": round(chosen.size_mb, 3),
        "dice_change_on_validation": change,
        "max_dice_loss": max_dice_loss,
        "rule": "smallest export within the Dice loss limit; of equally small ones the fastest",
        "made_from": dict(made_from),
    }
