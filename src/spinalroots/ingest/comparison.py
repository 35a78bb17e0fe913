"""What a correction changed: every label of the new masks against the old ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.files import write_text
from spinalroots.files.text import as_table, read_text
from spinalroots.metrics.overlap import dice
from spinalroots.registry.anatomy import Scheme, label_names


@dataclass(frozen=True)
class Change:
    """A label before and after; volumes in mm³, Dice from 0 to 1, empty where both are empty.

    `correction` counts the case's corrections from 1; `rater` is empty for the agreed masks.
    """

    correction: int
    rater: str
    scheme: str
    label: str
    dice: float | None
    before_mm3: float
    after_mm3: float
    added_mm3: float
    removed_mm3: float


_NAMES = [field.name for field in fields(Change)]


def changes_of(
    before: np.ndarray | None,
    after: np.ndarray,
    scheme: Scheme,
    voxel_mm3: float,
    *,
    rater: str = "",
    correction: int = 1,
) -> list[Change]:
    """A row for every label that either map has, in the registry's order.

    :param before: label map (X, Y, Z), None for none; `after` the same shape.
    """
    before = np.zeros_like(after) if before is None else before
    names = label_names(scheme)
    rows = []
    for value in sorted((set(np.unique(before).tolist()) | set(np.unique(after).tolist())) - {0}):
        old, new = before == value, after == value
        overlap = dice(old, new)
        sizes = (old, new, new & ~old, old & ~new)
        volumes = [round(float(np.count_nonzero(mask) * voxel_mm3), 3) for mask in sizes]
        rows.append(
            Change(
                correction,
                rater,
                str(scheme),
                names[value],
                None if np.isnan(overlap) else round(overlap, 4),
                *volumes,
            )
        )
    return rows


def table(rows: Iterable[Change]) -> str:
    """Changed labels as lines of text, and how many are as they were."""
    rows = list(rows)
    changed = [row for row in rows if row.added_mm3 or row.removed_mm3]
    lines = [f"{'':14}{'Dice':>7}{'before':>10}{'after':>10}{'added':>10}{'removed':>10}  (mm³)"]
    for row in changed:
        label = f"{row.label} ({row.rater})" if row.rater else row.label
        shown = "" if row.dice is None else f"{row.dice:.3f}"
        lines.append(
            f"{label:14}{shown:>7}{row.before_mm3:10.1f}{row.after_mm3:10.1f}"
            f"{row.added_mm3:10.1f}{row.removed_mm3:10.1f}"
        )
    same = len(rows) - len(changed)
    return "\n".join([*(lines if changed else []), f"{same} labels as they were"])


def next_correction(path: Path) -> int:
    """The number of the correction after those that the file holds.

    :raises InputError: a file that is no such table.
    """
    try:
        return max((int(row["correction"]) for row in _rows(path)), default=0) + 1
    except (TypeError, ValueError) as error:
        raise _no_table(path, f"a correction without a number ({error})") from error


def append(path: Path, rows: Iterable[Change]) -> None:
    """Add rows to the table of a case, whole or not at all; earlier corrections stay.

    :raises InputError: a file that is no such table.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*_rows(path), *({**asdict(row)} for row in rows)])
    write_text(path, text.getvalue())


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with as_table(path):
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        rows = list(reader)
    if reader.fieldnames != _NAMES:
        raise _no_table(path, ", ".join(reader.fieldnames or ["nothing"]))
    if any(None in row or None in row.values() for row in rows):
        raise _no_table(path, "a row of more or fewer cells")
    return rows


def _no_table(path: Path, found: str) -> InputError:
    return InputError(
        path,
        expected=f"a table with the columns {', '.join(_NAMES)}",
        found=found,
        fix="Move the file away; a new one is begun.",
    )
