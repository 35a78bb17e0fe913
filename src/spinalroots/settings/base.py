"""What every group of parameters is: typed, closed to unknown keys, unchangeable.

One module a room. Kernels take a section of their own room, or plain values; reading `params.yaml`
and filling in a scale is :mod:`spinalroots.pipeline.params`. Records that were written as JSON are
read back here with their types checked. Free of torch.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spinalroots.errors import InputError, require_file
from spinalroots.files import read_json

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Triple = tuple[Positive, Positive, Positive]


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range from the least to the most, not {pair[0]:g} to {pair[1]:g}")
    return pair


Range = Annotated[tuple[NonNegative, NonNegative], AfterValidator(_rising)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]
CountRange = Annotated[tuple[Count, Count], AfterValidator(_rising)]


def _word(value: Any) -> Any:
    """DVC and YAML write a word of digits as a number: `preset: 70` is the preset "70"."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


AsWord = BeforeValidator(_word)
"""Beside a choice of words of which some look like numbers, such as "auto" and "32"."""


class Section(BaseModel):
    """A group of parameters: unknown keys and what is no finite number are refused, values cannot
    change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Compute(Section):
    """Where the cases of the data stages are worked on; no result depends on it."""

    dask: str  # scheduler such as tcp://host:8786; empty: processes of this machine


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
