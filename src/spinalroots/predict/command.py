"""`spinalroots predict`: its arguments, and what it says. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spinalroots.registry import paths
from spinalroots.registry.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spinalroots.predict.batch import Outcome
    from spinalroots.predict.writing import Draw


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be said on the command line."""
    parser.epilog = (
        "Exit code: 0 all done, 1 a fault of the program, 2 a scan could not be used (the others "
        "are done). The same command again does only what is missing or out of date."
    )
    parser.add_argument(
        "scan",
        type=Path,
        nargs="+",
        metavar="IN",
        help="T2 scans, any orientation: NIfTI, NRRD or MetaImage files, folders of them, BIDS "
        "data sets, DICOM folders",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "-m",
        "--model",
        default=DEFAULT_MODEL,
        help="the name of a model below --models, a model's folder or file (.zip), or "
        "models:/NAME@champion of the MLflow registry (default: %(default)s)",
    )
    parser.add_argument(
        "--models", type=Path, default=paths.MODELS, help="their folder (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--jobs", type=_positive, default=1, help="scans side by side (default: %(default)s)"
    )
    parser.add_argument("--surfaces", action="store_true", help="make the 3D model as well")
    parser.add_argument(
        "--dicom-seg", action="store_true", help="write a DICOM segmentation too, of DICOM scans"
    )
    parser.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="DISC=X,Y,Z",
        help="a point in or behind a disc that level names are to rest on, such as "
        "L1/L2=-3.5,20,-41, in RAS+ mm as 3D Slicer shows them (from LPS, turn the sign of X and "
        "Y); may be given for several discs",
    )
    parser.add_argument(
        "--discs",
        type=Path,
        metavar="FILE",
        help="disc labels in the scan's space: SCT's …_labeled_discs.nii.gz, TotalSpineSeg's "
        "step1_levels",
    )
    parser.add_argument(
        "--orientation",
        metavar="LAS",
        help="the side that each voxel axis rises towards, where the header does not say or is "
        "wrong",
    )
    parser.add_argument("--force", action="store_true", help="do what is there already again")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write what became of each scan as JSON"
    )


def run(options: argparse.Namespace, draw: Draw) -> int:
    """Predict what the options say; returns the exit code.

    :param draw: makes the preview of a scan.
    :raises InputError: nothing can be done at all; or the only scan cannot be used.
    """
    from spinalroots.errors import InputError
    from spinalroots.imaging.anchors import Anchor
    from spinalroots.predict import batch, load, sources
    from spinalroots.predict.writing import Wanted

    began = time.perf_counter()
    model = load.find(options.model, options.models)
    anchors = tuple(Anchor.parse(text) for text in options.anchor)
    found = sources.find(options.scan)
    if (anchors or options.discs) and len(found.scans) > 1:
        raise InputError(
            "--anchor" if anchors else "--discs",
            expected="one scan, as a disc lies in one person",
            found=f"{len(found.scans)} scans",
            fix="Predict this scan by itself.",
        )
    wanted = Wanted(
        anchors, options.discs, options.orientation, options.surfaces, options.dicom_seg
    )
    outcomes = batch.run(
        found.scans,
        options.out,
        model,
        draw,
        wanted,
        device=options.device,
        jobs=options.jobs,
        force=options.force,
        quiet=options.quiet,
    )
    if options.report:
        seconds = time.perf_counter() - began
        batch.report(options.report, outcomes, found.left, model, seconds)
    _say(outcomes, found.left, options)
    return batch.exit_code(outcomes)


def _say(outcomes: Sequence[Outcome], left: dict[str, str], options: argparse.Namespace) -> None:
    from spinalroots.predict import batch

    many = len(outcomes) > 1
    if not options.quiet:
        for outcome in outcomes:
            for line in outcome.told:
                print(f"{outcome.scan}: {line}" if many else line, file=sys.stderr)
        for name, why in left.items():
            print(f"left out {name}: {why}", file=sys.stderr)
    for outcome in outcomes:
        if outcome.reason:
            kind = "error" if outcome.status == batch.UNUSABLE else f"fault with {outcome.scan}"
            print(f"{kind}: {outcome.reason}", file=sys.stderr)
    if options.quiet:
        return
    counts = batch.summary(outcomes)
    if many:
        print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if batch.DONE in counts:
        print(f"wrote {options.out}")
    elif batch.CURRENT in counts and not many:
        print(f"{options.out} is up to date; --force does it again")


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count
