"""Stage `phantom`: synthetic scans with a lab's annotation, and the truth apart."""

from __future__ import annotations

from pathlib import Path

from spinalroots.phantom.dataset import write_dataset
from spinalroots.pipeline.params import Params

RAW = Path("data/raw/phantom")
TRUTH = Path("data/truth")


def main(params: Params) -> None:
    """Write data/raw/phantom and data/truth."""
    write_dataset(RAW, TRUTH, params.phantom, params.seed, params.workers)
