"""data/expert_scores.csv: validated, append-only."""

import csv
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.expert.scores import COLUMNS, OPTIONAL, ExpertScore, validated
from spinalroots.files import alone, write_text
from spinalroots.files.text import as_table, read_text

_NUMBERS = ("score", "minutes_without", "minutes_with")


def read(path: Path, known_cases: Collection[str] | None = None) -> list[ExpertScore]:
    """All rows of the file, validated; a missing file means that nobody has scored yet.

    :param known_cases: cases that may occur; None allows any well-formed name.
    :raises InputError: naming the file and the line of the first bad row.
    """
    path = Path(path)
    if not path.is_file():
        return []
    text = read_text(path)
    first = text.partition("\n")[0]
    european = first.count(";") > first.count(",")  # as Excel saves where a comma is decimal
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if european else ",")
    with as_table(path):
        header = reader.fieldnames or []
    required = [name for name in COLUMNS if name not in OPTIONAL]
    if not set(required) <= set(header) <= set(COLUMNS):
        raise InputError(
            path,
            expected=f"the columns {', '.join(COLUMNS)}",
            found=", ".join(header[:40]) or "an empty file",
            fix="Restore the header; `spinalroots score` writes it for you.",
        )
    with as_table(path):
        return [
            validated(
                _pointed(record) if european else record,
                f"{path}, line {reader.line_num}",
                known_cases,
            )
            for record in reader
        ]


def _pointed(record: dict) -> dict:
    """A row with its decimal commas as points."""
    numbers = {name: record[name].replace(",", ".") for name in _NUMBERS if record.get(name)}
    return record | numbers


def append(
    path: Path, row: ExpertScore | dict, *, known_cases: Collection[str] | None = None
) -> ExpertScore:
    """:func:`append_all` for one row, which is returned as written."""
    return append_all(path, [row], known_cases=known_cases)[0]


def append_all(
    path: Path, rows: Sequence[ExpertScore | dict], *, known_cases: Collection[str] | None = None
) -> list[ExpertScore]:
    """Validate `rows` and add them at the end of the file, all or none; earlier rows stay.

    Writers take turns (a lock beside the file), each writes the whole file anew and puts it in
    place at once: two at the same time lose nothing, and a kill leaves the old file.

    :param rows: of :class:`ExpertScore`, or their fields by name (numbers may be text).
    :return: the rows as written.
    :raises InputError: a row, or the file that is there already, is not valid.
    """
    path = Path(os.path.realpath(path))  # a link to the file stays one
    records = [asdict(row) if isinstance(row, ExpertScore) else dict(row) for row in rows]
    checked = [validated(record, "expert score", known_cases) for record in records]
    with alone(path):
        written = [*read(path), *checked]
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: "" if value is None else value for name, value in asdict(each).items()}
            for each in written
        )
        write_text(path, stream.getvalue())
    return checked


def known_cases(raw: Path) -> set[str]:
    """Names of all cases of the data sets below `raw`, synthetic and real: those that may be
    scored."""
    return {path.parts[-3] for path in Path(raw).glob("*/sub-*/anat/*_T2w.nii.gz")}
