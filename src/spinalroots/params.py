"""params.yaml, typed: every knob with its unit, its range and its default place.

A value in a section of params.yaml wins. Where it is null, the chosen scale decides:
`scales.<scale>` in the same file holds the budgets of `smoke`, `laptop`, `gpu` and `paper`. Unknown
keys are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spinalroots.errors import InputError

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Triple = tuple[Positive, Positive, Positive]


class Scale(StrEnum):
    """A preset of budgets."""

    SMOKE = "smoke"
    LAPTOP = "laptop"
    GPU = "gpu"
    PAPER = "paper"


class Section(BaseModel):
    """A group of parameters: unknown keys are refused, values cannot change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which scans are used."""

    source: Literal["phantom", "ingested"]
    phantom_cases: Whole  # synthetic training cases added when source is `ingested`


class Params(Section):
    """All effective parameters: the sections with the scale's budgets filled in."""

    scale: Scale
    seed: Whole
    workers: Count  # processes of the stages that run cases in parallel
    data: Data


def load(path: Path | str = "params.yaml", *, scale: str | None = None) -> Params:
    """Read params.yaml, fill in the scale's budgets and check everything.

    :param scale: overrides the file's `scale`.
    :raises InputError: missing file, bad YAML, an unknown key (the nearest known one is named), a
        value out of range, a null that the scale does not fill.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            path,
            expected="the project's params.yaml",
            found="no such file",
            fix="Run from the repository root.",
        )
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(
            path, expected="valid YAML", found=f"{error}", fix="Correct the syntax."
        ) from error
    return resolve(record, where=path, scale=scale)


def resolve(record: dict, *, where: Path | str = "params", scale: str | None = None) -> Params:
    """Typed parameters of a params.yaml already read; see :func:`load`."""
    if not isinstance(record, dict):
        raise InputError(
            where, expected="a mapping of sections", found=type(record).__name__, fix="Correct it."
        )
    sections = dict(record)
    presets = sections.pop("scales", {})
    chosen = scale or sections.get("scale")
    if chosen not in presets:
        raise InputError(
            where,
            expected=f"scale to be one of {', '.join(presets)}",
            found=repr(chosen),
            fix=_nearest(str(chosen), list(presets)),
        )
    sections["scale"] = chosen
    for name, values in presets[chosen].items():
        sections[name] = _fill(sections.get(name), values, f"{where}: scales.{chosen}.{name}")
    try:
        return Params.model_validate(sections)
    except ValidationError as error:
        raise _explain(error, where) from None


def _fill(explicit: Any, preset: dict, where: str) -> dict:
    """The section with its nulls replaced by the preset's values."""
    explicit = dict(explicit or {})
    for key, value in preset.items():
        if key not in explicit:
            raise InputError(
                where,
                expected=f"keys of the section itself ({', '.join(explicit)})",
                found=f"unknown key {key!r}",
                fix=_nearest(key, list(explicit)),
            )
        if explicit[key] is None:
            explicit[key] = value
        elif isinstance(explicit[key], dict) and isinstance(value, dict):
            explicit[key] = _fill(explicit[key], value, f"{where}.{key}")
    return explicit


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def _explain(error: ValidationError, where: Path | str) -> InputError:
    """The first validation error in the words of :class:`InputError`."""
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return InputError(
            f"{where}: {place}",
            expected="a known parameter",
            found=f"unknown key {detail['loc'][-1]!r}",
            fix=_nearest(str(detail["loc"][-1]), _keys_at(detail["loc"][:-1])),
        )
    if detail["type"] == "missing" or detail.get("input", ...) is None:
        return InputError(
            f"{where}: {place}",
            expected="a value",
            found="nothing, and the scale sets none",
            fix="Give the parameter, or add it to the scale's preset.",
        )
    return InputError(
        f"{where}: {place}",
        expected=detail["msg"][0].lower() + detail["msg"][1:],
        found=repr(detail.get("input")),
        fix="Correct the value.",
    )


def _keys_at(location: tuple) -> list[str]:
    """Known keys of the section at `location`."""
    model: Any = Params
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = field.annotation
    return list(getattr(model, "model_fields", {}))
