"""`python -m spinalroots.stages NAME [ROW]`: what dvc.yaml calls, through bin/stage."""

from __future__ import annotations

import argparse
import difflib
import importlib

from spinalroots import console
from spinalroots.compute import arithmetic
from spinalroots.errors import InputError
from spinalroots.pipeline import params
from spinalroots.registry.models import MODELS
from spinalroots.stages import BY_ROW, add_arguments


def run(options: argparse.Namespace) -> None:
    """Run the stage that the options name.

    :raises InputError: a row is missing, unknown or too much; the parameters cannot be used.
    """
    _require_row(options.name, options.row)
    if options.strict and options.name != "check":
        raise InputError(
            "--strict", expected="the stage check", found=options.name, fix="Leave it out."
        )
    loaded = params.load(options.params, scale=options.scale)
    arithmetic.warn_unless_in_force(options.name)
    stage = importlib.import_module(f"spinalroots.stages.{options.name}")
    more = {"strict": True} if options.strict else {}
    stage.main(loaded, *([options.row] if options.row else []), **more)


def _require_row(stage: str, row: str | None) -> None:
    rows = [model.row for model in MODELS.values() if model.family == "nnunet"]
    if stage in BY_ROW and row not in rows:
        close = difflib.get_close_matches(row or "", rows, n=1)
        raise InputError(
            f"stage {stage}",
            expected=f"a row: {', '.join(rows)}",
            found=repr(row) if row else "none",
            fix=f"Did you mean {close[0]!r}?" if close else f"Try: {stage} {rows[0]}",
        )
    if stage not in BY_ROW and row:
        raise InputError(f"stage {stage}", expected="no row", found=repr(row), fix="Leave it out.")


def main() -> int:
    """Run one stage; returns the exit code."""
    parser = argparse.ArgumentParser(prog="stage", description="Run one pipeline stage.")
    add_arguments(parser)
    options = parser.parse_args()
    return console.run(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
