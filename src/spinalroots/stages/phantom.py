"""Stage `phantom`: synthetic scans with a lab's annotation, and the truth apart."""

from spinalroots.phantom.dataset import write_dataset
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths


def main(params: Params) -> None:
    """Write data/raw/phantom and data/truth."""
    write_dataset(paths.PHANTOM, paths.TRUTH, params.phantom, params.seed, params.workers)
