"""The data of a run as MLflow's data sets: DVC's name and hash, cases and classes, no scans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

DIGEST = 36
"""Longest digest that MLflow keeps; DVC's, `.dir` included, is just as long."""


@dataclass(frozen=True)
class Data:
    """What a run learns from or is measured on.

    `path`: under DVC; `cases`: their names; `classes`: what is told apart; `context`: such as
    `training`, `validation` or `test`.
    """

    path: Path
    cases: Sequence[str]
    classes: Sequence[str]
    context: str


def log(data: Sequence[Data], hashes: dict[str, str]) -> None:
    """Make the active MLflow run say what it used.

    :param hashes: `data.<path>` → DVC's hash; a path that DVC does not know gets a digest of its
        names alone.
    """
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    class Versioned(MetaDataset):
        """Says how many cases and classes it has."""

        profile: ClassVar[dict[str, object]] = {}

        def to_dict(self) -> dict[str, str]:
            """With the profile, which MLflow's page shows."""
            return {**super().to_dict(), "profile": json.dumps(self.profile)}

    for one in data:
        digest = hashes.get(f"data.{one.path}", "")[:DIGEST] or None
        source = CodeDatasetSource({"dvc.path": one.path.as_posix(), "dvc.md5": digest or ""})
        told = Versioned(source=source, name=one.path.as_posix(), digest=digest)
        told.profile = {
            "cases": len(one.cases),
            "classes": len(one.classes),
            "class names": ", ".join(one.classes),
            "case names": ", ".join(one.cases),
        }
        tags = {"cases": str(len(one.cases)), "classes": str(len(one.classes))}
        mlflow.log_input(told, context=one.context, tags=tags)
