"""nnU-Net's folders, given to it from Python: nobody sets an environment variable by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spinalroots.registry.models import MODELS, Model

CONFIGURATION = "3d_fullres"
"""The configuration of the paper (III-A)."""

EXTERNAL_TRAINERS = Path(__file__).parent / "external"
"""Where nnU-Net itself finds our trainer, in the processes that it starts for several GPUs."""

FIRST_DATASET_ID = 101


def dataset_name(model: Model) -> str:
    """nnU-Net's name of the data set of a row, such as ``Dataset103_all_levels``."""
    rows = [other.name for other in MODELS.values() if other.family == "nnunet"]
    return f"Dataset{FIRST_DATASET_ID + rows.index(model.name)}_{model.row.replace('-', '_')}"


@contextmanager
def folders(
    root: Path, *, preprocessed: Path | None = None, results: Path | None = None, workers: int = 0
) -> Iterator[None]:
    """nnU-Net with its folders below `root`, as long as the block lasts.

    :param preprocessed: instead of `root`/preprocessed.
    :param results: instead of `root`/results.
    :param workers: processes that prepare batches; 0 prepares them in the training process.
    """
    root = Path(root).resolve()
    values = {
        "nnUNet_raw": root / "raw",
        "nnUNet_preprocessed": Path(preprocessed or root / "preprocessed").resolve(),
        "nnUNet_results": Path(results or root / "results").resolve(),
        "nnUNet_extTrainer": EXTERNAL_TRAINERS,
        "nnUNet_n_proc_DA": workers,
        "nnUNet_def_n_proc": max(1, workers),
        "nnUNet_wandb_enabled": 0,
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
