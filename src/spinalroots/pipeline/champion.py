"""Which version of a registered model is the champion: by validation cases, never by test cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Rule = Literal["validation_dice", "newest"]


@dataclass(frozen=True)
class Version:
    """A registered version; `judged_on` names its validation cases and their data, and `figure` is
    its Dice on them, None where none was measured."""

    number: int
    judged_on: str = ""
    figure: float | None = None


def validation_dice(training: Mapping[str, Any]) -> float | None:
    """Dice on validation cases as a training's `training.json` has it.

    HarDNet: of the published weights. nnU-Net: of the last epoch's validation batches, mean over
    folds; its weights are the last epoch's. The anatomy network's training, on phantoms of its own,
    measures none: its figure is the one that the stage `quantize` judges its export by.
    """
    if training.get("validation_dice") is not None:
        return float(training["validation_dice"])
    last = [fold["mean_fg_dice"][-1] for fold in training.get("folds", ()) if fold["mean_fg_dice"]]
    return float(np.mean(last)) if last else None


def champion(versions: Sequence[Version], rule: Rule) -> Version:
    """The version that `rule` chooses, one of at least one.

    `validation_dice`: of those judged on the same validation data as the newest the best, of
    equally good ones the newer. Where the newest has no figure, and with `newest`, the newest.

    >>> old, new = Version(1, "a", 0.6), Version(2, "a", 0.5)
    >>> champion([old, new], "validation_dice").number
    1
    >>> champion([old, Version(2, "b", 0.5)], "validation_dice").number
    2
    """
    newest = max(versions, key=lambda one: one.number)
    if rule == "newest" or newest.figure is None:
        return newest
    rivals = [
        (one.figure, one.number, one)
        for one in versions
        if one.figure is not None and one.judged_on == newest.judged_on
    ]
    return max(rivals, key=lambda rival: rival[:2])[2]
