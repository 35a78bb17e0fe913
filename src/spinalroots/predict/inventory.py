"""The models in a folder, as a table for people."""

from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.files import read_json, sha256
from spinalroots.predict import load, package
from spinalroots.predict.trained import DESCRIPTION, WEIGHTS

HEADERS = ("model", "finds", "MB", "runs on a CPU", "weights", "made by")


def lines(models_root: Path) -> list[str]:
    """A line a model below `models_root`, under a line of headers; a damaged one is said.

    :raises InputError: there is no model.
    """
    names = load.names(models_root)
    if not names:
        raise InputError(
            models_root,
            expected="a folder with models",
            found="none",
            fix="Get the project's with `dvc repro` or `dvc pull`, or one with "
            "`spinalroots models import FILE.zip`.",
        )
    rows = [HEADERS, *(_row(models_root / name) for name in names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADERS))]
    return [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(folder: Path) -> tuple[str, ...]:
    try:
        described = package.read(folder)
        target = read_json(folder / DESCRIPTION)["target"]
        levels = target["levels"]
        files = [path for path in folder.rglob("*") if path.is_file()]
        return (
            folder.name,
            f"{target['scheme']} {levels[0]}–{levels[-1]}",
            f"{sum(path.stat().st_size for path in files) / 1e6:.1f}",
            described.export or "the network itself",
            sha256(folder / WEIGHTS)[:12],
            f"spinalroots {described.spinalroots}",
        )
    except (InputError, ValueError, KeyError, TypeError, OSError) as error:
        words = error.found if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return (folder.name, f"damaged: {words}", "", "", "", "")
