"""A training as a value: what was prepared for a row, and how it is to be learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.losses.truth import balanced_weights
from spinalroots.nnunet.environment import CONFIGURATION
from spinalroots.nnunet.raw_data import CASES, dataset_name, fold_splits
from spinalroots.registry.anatomy import Target
from spinalroots.registry.models import Model
from spinalroots.settings.nnunet import NnunetTraining

ONLY_HOW = ("device", "gpus", "augmentation_workers", "country", "folds")
"""Settings that say where and how a training runs, not what comes out; `folds` is in the splits."""


@dataclass(frozen=True)
class Job:
    """All that determines a training, besides its code.

    `prepared`: nnU-Net's preprocessed folder of the data set; `plans` and `dataset` (description)
    lie in it. `cases`: name → `parent`, `role`, `voxels`, …. `settings`: those of the training,
    `seed`, `own` (classes 1..own that are the row's), `class_weights` and `name` (of the row).
    """

    model: Model
    target: Target
    plans: dict
    dataset: dict
    cases: dict
    splits: list[dict]
    settings: dict
    prepared: Path

    @classmethod
    def read(cls, root: Path, model: Model, training: NnunetTraining, seed: int) -> Job:
        """The job of a row that was prepared in the folder `root` (data/nnunet/ROW)."""
        name = dataset_name(model)
        record = read_json(root / "raw" / name / CASES)
        target, cases = Target.from_dict(record["target"]), record["cases"]
        settings = {
            **training.model_dump(mode="json"),
            "seed": seed,
            "own": len(target.values),
            "class_weights": _class_weights(cases, training.class_weights),
            "name": model.row,
        }
        prepared = root / "preprocessed" / name
        return cls(
            model,
            target,
            read_json(_plans(prepared)),
            read_json(prepared / "dataset.json"),
            cases,
            fold_splits(cases, training.folds),
            settings,
            prepared,
        )

    @property
    def data(self) -> Path:
        """Folder of the preprocessed cases."""
        return self.prepared / self.plans["configurations"][CONFIGURATION]["data_identifier"]

    @property
    def decides(self) -> dict:
        """What decides the weights, besides the code and the files in :attr:`data`."""
        settings = {name: value for name, value in self.settings.items() if name not in ONLY_HOW}
        labels = self.dataset["labels"]
        return {"plans": self.plans, "labels": labels, "splits": self.splits, "settings": settings}


def _plans(prepared: Path) -> Path:
    """The one file of plans in a prepared folder."""
    found = sorted(prepared.glob("*Plans.json"))
    if len(found) != 1:
        raise InputError(
            prepared,
            expected="one file of plans",
            found=", ".join(path.name for path in found) or "none",
            fix="Run the stage `prepare_nnunet` of this row again.",
        )
    return found[0]


def _class_weights(cases: dict, rule: str) -> list[float] | None:
    if rule == "none":
        return None
    counted = [case["voxels"] for case in cases.values() if case["role"] == "training"]
    return balanced_weights(np.sum(counted, axis=0)).tolist()
