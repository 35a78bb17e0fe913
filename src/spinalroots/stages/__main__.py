"""`python -m spinalroots.stages NAME [ROW]`: what dvc.yaml calls, through bin/stage."""

import argparse
import importlib
from functools import partial

from spinalroots import console
from spinalroots.compute import arithmetic
from spinalroots.compute.cluster import on_cluster
from spinalroots.compute.parallel import each
from spinalroots.errors import InputError
from spinalroots.pipeline import interrupted, params, provenance
from spinalroots.registry.models import nnunet_row, nnunet_rows
from spinalroots.stages import BY_ROW, add_arguments

ON_ONE_MACHINE = ("train_", "tune_", "quantize")
"""Beginnings of the names of the stages that no cluster takes cases of: they train or measure."""


def run(options: argparse.Namespace) -> None:
    """Run the stage that the options name.

    :raises InputError: a row is missing, unknown or too much; the parameters cannot be used.
    """
    if options.name in BY_ROW:
        rows = [nnunet_row(options.row)] if options.row else nnunet_rows()
    elif options.row:
        where, row = f"stage {options.name}", repr(options.row)
        raise InputError(where, expected="no row", found=row, fix="Leave it out.")
    if options.strict and options.name != "check":
        raise InputError(
            "--strict", expected="the stage check", found=options.name, fix="Leave it out."
        )
    interrupted.keep()
    loaded = params.load(options.params, scale=options.scale)
    arithmetic.warn_unless_in_force(options.name)
    stage = importlib.import_module(f"spinalroots.stages.{options.name}")
    address = "" if options.name.startswith(ON_ONE_MACHINE) else loaded.compute.dask
    with on_cluster(address, partial(provenance.facts, options.name)):
        if options.name not in BY_ROW:
            stage.main(loaded, **({"strict": True} if options.strict else {}))
        elif address:  # it is the cases of a row that go to the cluster
            for model in rows:
                stage.main(loaded, model.row)
        else:
            jobs = [(loaded, model.row) for model in rows]
            own, name = loaded.nnunet, options.name
            each(stage.main, jobs, own.rows_at_once, name, unit="row", process_gb=own.row_gb)


def main() -> int:
    """Run one stage; returns the exit code."""
    parser = argparse.ArgumentParser(prog="stage", description="Run one pipeline stage.")
    add_arguments(parser)
    options = parser.parse_args()
    return console.run(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
