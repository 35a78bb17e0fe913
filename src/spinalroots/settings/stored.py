"""Records that were written as JSON, read back with their types checked."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from spinalroots.errors import InputError, require_file
from spinalroots.files import read_json

Record = TypeVar("Record", bound=BaseModel)


def read_record(path: Path, kind: type[Record], *, expected: str, fix: str) -> Record:
    """The file's content as `kind`.

    :raises InputError: no such file, no JSON, or another record; the first key that is wrong is
        named.
    """
    path = require_file(Path(path), expected=expected, fix=fix)
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        words = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        if isinstance(first["input"], str | int | float):
            words += f", not {first['input']!r}"
    except ValueError as error:
        words = str(error)
    raise InputError(path, expected=expected, found=f"something else ({words})", fix=fix)
