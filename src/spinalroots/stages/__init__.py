"""One short module per DVC stage: read, call, write.

Each has `main(params)`, and a stage that runs once for every row of the comparison
`main(params, row)`. `bin/stage NAME [ROW]` runs it.
"""

import argparse
from pathlib import Path

STAGES = (
    "phantom",
    "check",
    "refine",
    "split",
    "augment",
    "centreline",
    "appearance",
    "prepare_nnunet",
    "train_nnunet",
    "predict_nnunet",
    "tune_hardnet",
    "train_hardnet",
    "predict_hardnet",
    "anatomy_phantoms",
    "train_anatomy",
    "predict_anatomy",
    "postprocess",
    "evaluate",
    "quantize",
    "cards",
    "package",
    "register",
    "reconstruct",
    "report",
)
"""Every stage in the order the data takes."""

BY_ROW = ("prepare_nnunet", "train_nnunet", "predict_nnunet")
"""Stages that run once for every nnU-Net row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What a stage can be told."""
    parser.add_argument("name", choices=STAGES, metavar="NAME", help=", ".join(STAGES))
    parser.add_argument("row", nargs="?", help="of a stage that runs by row, such as all-levels")
    parser.add_argument("--strict", action="store_true", help="check: findings are an error")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="%(default)s")
    parser.add_argument("--scale", help="smoke, laptop, gpu or paper; wins over the file")
