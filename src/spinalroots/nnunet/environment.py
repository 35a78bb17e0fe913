"""nnU-Net's folders, given to it from Python: nobody sets an environment variable by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spinalroots.compute.environment import variables

CONFIGURATION = "3d_fullres"
"""The configuration of the paper (III-A)."""

EXTERNAL_TRAINERS = Path(__file__).parent / "external"
"""Where nnU-Net itself finds our trainer, in the processes that it starts for several GPUs."""


@contextmanager
def folders(root: Path, *, preprocessed: Path | None = None, workers: int = 0) -> Iterator[None]:
    """nnU-Net with its folders below `root`, as long as the block lasts.

    :param preprocessed: instead of `root`/preprocessed.
    :param workers: processes that prepare batches; 0 prepares them in the training process.
    """
    root = Path(root).resolve()
    values = {
        "nnUNet_raw": root / "raw",
        "nnUNet_preprocessed": Path(preprocessed or root / "preprocessed").resolve(),
        "nnUNet_results": root / "results",
        "nnUNet_extTrainer": EXTERNAL_TRAINERS,
        "nnUNet_n_proc_DA": workers,
        "nnUNet_def_n_proc": max(1, workers),
        "nnUNet_wandb_enabled": 0,
    }
    with variables(values):
        yield
