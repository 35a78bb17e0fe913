"""The command line. Nothing heavy is imported before a command runs, so --help is quick."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from spinalroots import __version__, console, stages
from spinalroots.errors import InputError
from spinalroots.predict import command as predict_command
from spinalroots.predict import commands as models_commands
from spinalroots.registry import paths
from spinalroots.registry.models import DEFAULT_MODEL


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = build_parser().parse_args(arguments)
    return console.run(lambda: options.run(options))


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    parser = argparse.ArgumentParser(
        prog="spinalroots",
        description="Personal 3D models of the spinal nerve roots from T2 MRI of the lower spine.",
    )
    parser.add_argument("--version", action="version", version=f"spinalroots {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    predict = _command(
        commands, "predict", _predict, "scans in, root masks on the scans' own grids out"
    )
    predict_command.add_arguments(predict)

    ingest = _command(commands, "ingest", _ingest, "bring scans, with or without masks, into data/")
    ingest.add_argument(
        "source", type=Path, nargs="+", help="NIfTI file, lab folder, BIDS data set or DICOM folder"
    )
    ingest.add_argument("--dry-run", action="store_true", help="check and list, write nothing")
    ingest.add_argument("--case", help="name for a single scan (default: the next free number)")
    ingest.add_argument(
        "--no-dvc", action="store_true", help="do not put the result under DVC's versions"
    )
    ingest.add_argument(
        "--replace", metavar="CASE", help="corrected masks for a case that is there already"
    )
    ingest.add_argument(
        "--orientation",
        metavar="LAS",
        help="the side that each voxel axis rises towards, of scan and masks, where their headers "
        "do not say or are wrong",
    )
    ingest.add_argument("--root", type=Path, default=paths.INGESTED, help="%(default)s")

    export = _command(commands, "export", _export, "a case as one file per root, as labs keep them")
    export.add_argument("case", help="case name such as sub-001")
    export.add_argument("-o", "--out", type=Path, required=True, help="new folder")
    export.add_argument("--root", type=Path, default=paths.INGESTED, help="%(default)s")

    reconstruct = _command(
        commands, "reconstruct", _reconstruct, "surfaces and trajectories from an individual map"
    )
    reconstruct.add_argument("individuals", type=Path, help="individual map, NIfTI, values 1..120")
    reconstruct.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    reconstruct.add_argument(
        "--tissues",
        type=Path,
        help="tissue map on the same grid (1 cord, 2 CSF, 3 fat), for cord and sac (default: the "
        "one that a prediction has left beside the map)",
    )
    reconstruct.add_argument(
        "--volume-mesh",
        action="store_true",
        help="write volume.vtu and volume.msh too, tetrahedra with tissue labels (minutes)",
    )

    rename = _command(
        commands, "rename", _rename, "move all names of finished maps one or two levels up or down"
    )
    rename.add_argument(
        "maps", type=Path, nargs="+", help="level or individual maps, or the folder of a prediction"
    )
    rename.add_argument(
        "--shift",
        type=int,
        choices=(-2, -1, 1, 2),
        required=True,
        help="+1: one level further down (caudal), what is called L3 becomes L4; -1: L3 becomes L2",
    )
    rename.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for the results; nothing is replaced"
    )
    rename.add_argument(
        "--scheme", choices=("levels", "individuals"), help="of a map whose name does not tell"
    )

    score = _command(commands, "score", _score, "add an expert's score of a pre-annotation")
    score.add_argument("case", help="case name such as sub-001")
    score.add_argument("--score", type=float, required=True, help="0.5 no help … 1.0 nothing to do")
    score.add_argument("--rater", required=True, help="who scored (initials or a number)")
    score.add_argument("--model", default=DEFAULT_MODEL, help="%(default)s")
    score.add_argument("--region", default="", help="default: the model's own")
    score.add_argument("--minutes-without", type=float, help="minutes to draw it from nothing")
    score.add_argument("--minutes-with", type=float, help="minutes to correct the pre-annotation")
    score.add_argument("--comment", default="")
    score.add_argument(
        "--prediction", type=Path, help="the scored mask (default: the model's of this case)"
    )
    score.add_argument("--file", type=Path, default=paths.EXPERT_SCORES)

    review = _command(
        commands, "review", _review, "judge and mend predictions in the browser, on this machine"
    )
    review.add_argument(
        "predictions",
        type=Path,
        nargs="+",
        help="folders that predict wrote, or of the pipeline's predictions "
        f"({paths.POSTPROCESSED}/MODEL), or maps in them",
    )
    review.add_argument(
        "--data",
        type=Path,
        default=paths.EXPERT_SCORES.parent,
        help="the project's data: scans, scores, drafts, corrected masks (default: %(default)s)",
    )
    review.add_argument(
        "--scans",
        type=Path,
        action="append",
        default=[],
        help="a scan, or a folder of scans, where they do not lie beside their predictions",
    )
    review.add_argument("--port", type=int, default=0, help="default: any that is free")
    review.add_argument("--no-browser", action="store_true", help="only print the address")

    real = _command(commands, "real", _real, "hold models against real scans that are drawn on")
    real.add_argument(
        "folder",
        type=Path,
        nargs="?",
        help=f"scans, and what was drawn on them beside them (default: {paths.REAL_SCANS})",
    )
    real.add_argument(
        "-m",
        "--model",
        action="append",
        help=f"as for predict; repeat it to see several in one table (default: {DEFAULT_MODEL})",
    )
    real.add_argument(
        "--models", type=Path, default=paths.MODELS, help="their folder (default: %(default)s)"
    )
    real.add_argument(
        "-o", "--out", type=Path, default=paths.REAL, help="folder, replaced (default: %(default)s)"
    )
    real.add_argument("--device", default="auto", help="auto, cpu or cuda")
    real.add_argument(
        "--protocols",
        action="store_true",
        help="also as other protocols would show them, thicker slices, noise, ...: protocols.md",
    )

    labels = _command(commands, "labels", _labels, "the label values, names and colours")
    labels.add_argument(
        "scheme", nargs="?", default="individuals", help="levels, individuals or tissues"
    )
    labels.add_argument("--format", choices=("bids", "itksnap", "slicer"), default="bids")

    models = _command(commands, "models", None, "list, export and import trained models")
    models_commands.add_arguments(models, paths.MODELS)

    shown = _command(commands, "params", _params, "the parameters in force, the scale filled in")
    stage = _command(commands, "stage", _stage, "run one pipeline stage (what dvc.yaml calls)")
    stages.add_arguments(stage)
    shown.add_argument("--params", type=Path, default=Path("params.yaml"), help="%(default)s")
    shown.add_argument("--scale", help="smoke, laptop, gpu or paper; wins over the file")
    return parser


def _command(commands, name: str, run, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:])
    parser.set_defaults(run=run)
    return parser


def _stage(options) -> None:
    from spinalroots.stages.__main__ import run

    run(options)


def _params(options) -> None:
    import yaml

    from spinalroots.pipeline import params

    loaded = params.load(options.params, scale=options.scale)
    print(
        yaml.safe_dump(loaded.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end=""
    )


def _labels(options) -> None:
    from spinalroots.dataset import label_tables
    from spinalroots.registry.anatomy import Scheme

    if options.scheme not in set(Scheme):
        raise InputError(
            "scheme",
            expected=", ".join(Scheme),
            found=repr(options.scheme),
            fix="Choose one of them.",
        )
    print(getattr(label_tables, options.format)(options.scheme), end="")


def _predict(options) -> int:
    from spinalroots.report import figures

    return predict_command.run(options, figures.preview)


def _ingest(options) -> None:
    from contextlib import nullcontext

    from spinalroots import ingest
    from spinalroots.files import alone, tidied
    from spinalroots.storage.reserved import reserved
    from spinalroots.storage.versions import version, versioned

    # From choosing a number to DVC's version no other ingest comes between.
    with nullcontext() if options.dry_run else alone(options.root):
        if not options.dry_run:
            tidied(options.root)  # a killed ingest may have cases on their way
        if options.replace:
            if len(options.source) != 1 or options.dry_run or options.orientation:
                given = " and --orientation" if options.orientation else ""
                raise InputError(
                    "--replace",
                    expected="one folder of masks, or one mask, no --dry-run and no --orientation",
                    found=" ".join(map(str, options.source)) + given,
                    fix="Bring the cases' masks in one after the other.",
                )
            print("\n".join(_replaced(options)))
        else:
            try:
                cases = ingest.plan(
                    options.source,
                    options.root,
                    case=options.case,
                    orientation=options.orientation,
                )
            except ingest.ThereAlready as error:
                if options.dry_run or options.no_dvc or versioned(options.root):
                    raise
                print(f"{error.where}: there already, from an ingest that was stopped early.")
                cases = []
            print("\n".join(line for case in cases for line in case.lines()))
            if options.dry_run:
                there = f"{len(cases)} case(s) would go into {options.root}"
                print(f"Dry run: {there}; nothing was written.")
                return
            if cases:
                with reserved(options.root, "spinalroots ingest"):
                    ingest.ingest(cases, options.root)
            print(f"{len(cases)} case(s) written into {options.root}.")
        if not options.no_dvc:
            version(options.root)


def _replaced(options) -> list[str]:
    """Put corrected masks in their place, add the comparison to the case's table; what to print."""
    from spinalroots.ingest import comparison, replace_masks
    from spinalroots.storage.reserved import reserved

    table = paths.CORRECTIONS / f"{options.replace}.csv"
    number = comparison.next_correction(table)
    with reserved(options.root, "spinalroots ingest"):
        done = replace_masks(options.replace, options.source[0], options.root, number)
    report, changes, rows = done
    comparison.append(table, rows)
    return [*changes, comparison.table(rows), f"added to {table}", *report.lines()]


def _export(options) -> None:
    from spinalroots.dataset.layout import Dataset
    from spinalroots.ingest.lab import export_case

    export_case(Dataset(options.root), options.case, options.out)
    print(f"wrote {options.out}")


def _score(options) -> None:
    from spinalroots.expert import predictions, score_file
    from spinalroots.expert.scores import COLUMNS, validated
    from spinalroots.files import alone

    cases = score_file.known_cases(paths.RAW)
    given = {name: value for name, value in vars(options).items() if name in COLUMNS}
    row = validated({**given, "prediction": ""}, "expert score", cases)
    if options.prediction:
        version = predictions.version_of(options.prediction)
    else:
        version = predictions.current_version(paths.POSTPROCESSED, row.model, row.case)
    row = replace(row, prediction=version)
    with alone(Path(os.path.realpath(options.file))):
        if row in score_file.read(options.file):
            print(f"{options.file} has this very score already; nothing was added")
            return
        score_file.append(options.file, row, known_cases=cases)
    print(
        f"added to {options.file}, about prediction {version}; `dvc repro` takes it into the tables"
    )


def _review(options) -> None:
    from spinalroots.review.run import run

    run(
        options.predictions,
        options.data,
        options.scans,
        port=options.port,
        browser=not options.no_browser,
    )


def _real(options) -> None:
    from spinalroots.compute.device import choose_device
    from spinalroots.predict import load
    from spinalroots.realscans import run

    folder = options.folder or paths.REAL_SCANS
    if not folder.is_dir():
        if options.folder is None:
            print(f"No real scans in {folder}: nothing to hold a model against.")
            return
        raise InputError(
            folder,
            expected="a folder with scans and what was drawn on them",
            found="no such folder",
            fix="Check the path.",
        )
    references = run.read_references(folder)
    device = choose_device(options.device, "--device")
    found = [load.find(name, options.models) for name in options.model or [DEFAULT_MODEL]]
    names = run.short_names(found)
    models = [(name, load.load(at, device)) for name, at in zip(names, found, strict=True)]
    scored = run.score_models(references, models)
    changed = run.score_protocols(references, models) if options.protocols else None
    print(run.write(options.out, scored, paths.PHANTOM, changed), end="")
    print(f"wrote {options.out}")


def _rename(options) -> None:
    from spinalroots.predict.rename import rename
    from spinalroots.registry.anatomy import Scheme

    scheme = Scheme(options.scheme) if options.scheme else None
    written = rename(options.maps, options.shift, options.out, scheme)
    print(f"wrote {len(written)} file(s) into {options.out}")


def _reconstruct(options) -> None:
    from spinalroots import reconstruct

    reconstruct.map_file(
        options.individuals, options.out, options.tissues, volume_mesh=options.volume_mesh
    )
    print(f"wrote {options.out}")


if __name__ == "__main__":
    raise SystemExit(main())
