"""The parameters in force: three layers of YAML, merged and checked.

`params.yaml` is what people turn, and wins. Where it is silent or null, `conf/scale/<scale>.yaml`
sets the budgets of the chosen scale, and `conf/expert.yaml` all the rest. The sections themselves,
with their types and ranges, are those of :mod:`spinalroots.settings`.
"""

import difflib
import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from spinalroots.errors import InputError, require_file
from spinalroots.files.text import read_text
from spinalroots.settings.anatomy import Anatomy
from spinalroots.settings.augment import Augment
from spinalroots.settings.base import Compute, Count, Section, Whole
from spinalroots.settings.dataset import CentrelineSearch, Check, Data, Refine, Split
from spinalroots.settings.hardnet import Hardnet, Tune
from spinalroots.settings.inference import Inference
from spinalroots.settings.nnunet import Nnunet
from spinalroots.settings.phantom import Phantom
from spinalroots.settings.results import (
    Evaluate,
    Postprocess,
    Quantize,
    Reconstruct,
    Report,
    Tracking,
)

EXPERT, SCALES = Path("conf/expert.yaml"), Path("conf/scale")
"""Beside params.yaml: every other knob, and a file of budgets for each scale."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 20
"""Levels of a parameter file."""


class Params(Section):
    """All effective parameters."""

    scale: str
    seed: Whole
    workers: Count  # processes of the stages that run cases in parallel
    compute: Compute
    data: Data
    phantom: Phantom
    check: Check
    refine: Refine
    split: Split
    augment: Augment
    centreline: CentrelineSearch
    anatomy: Anatomy
    nnunet: Nnunet
    hardnet: Hardnet
    tune: Tune
    inference: Inference
    postprocess: Postprocess
    evaluate: Evaluate
    quantize: Quantize
    reconstruct: Reconstruct
    report: Report
    tracking: Tracking


def load(path: Path | str = "params.yaml", *, scale: str | None = None) -> Params:
    """Read `path` and the files of `conf/` beside it, and check everything, all scales included.

    :param scale: overrides the file's `scale`.
    :raises InputError: a missing file, bad YAML, an unknown key (the nearest known one is named),
        a value of the wrong type or out of range, a parameter that no layer gives.
    """
    path = Path(path)
    own, expert = read_layer(path), read_layer(path.parent / EXPERT)
    files = {one.stem: one for one in sorted((path.parent / SCALES).glob("*.yaml"))}
    scales = {name: read_layer(one) for name, one in files.items()}
    chosen = resolve(own, expert, scales, where=path, scale=scale)
    for name, one in files.items():  # a typo shows before somebody chooses that scale
        resolve(own, expert, scales, where=one, scale=name)
    return chosen


def resolve(
    own: dict,
    expert: dict,
    scales: dict[str, dict],
    *,
    where: Path | str = "params",
    scale: str | None = None,
) -> Params:
    """Typed parameters of layers that are already read; see :func:`load`.

    :param own: what params.yaml says; nulls leave the word to the other layers.
    :param scales: name → budgets.
    """
    chosen = scale or own.get("scale")
    if not isinstance(chosen, str) or chosen not in scales:
        raise InputError(
            f"{where}: scale",
            expected=f"one of {', '.join(scales) or 'the files in conf/scale (there are none)'}",
            found=repr(chosen),
            fix=_nearest(str(chosen), list(scales)),
        )
    record = merged(merged(expert, scales[chosen]), {**own, "scale": chosen})
    try:
        return Params.model_validate(record)
    except ValidationError as error:
        raise _explain(error, where) from None


def merged(lower: Any, upper: Any) -> Any:
    """`upper` over `lower`: mappings key by key, a null gives way, anything else wins whole.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4}})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    if upper is None:
        return lower
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return upper
    both = dict(lower)
    for key, value in upper.items():
        both[key] = merged(lower.get(key), value)
    return both


def read_layer(path: Path) -> dict:
    """A YAML file of sections.

    :raises InputError: no such file, not YAML, not a mapping.
    """
    fix = "Run from the repository root."
    require_file(path, expected="one of the project's parameter files", fix=fix)
    try:
        text = read_text(path)
        _require_plain(path, text)
        record = yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            path, expected="valid YAML in UTF-8", found=f"{error}", fix="Correct the file."
        ) from error
    if not isinstance(record, dict):
        raise InputError(
            path,
            expected="a mapping of sections",
            found="an empty file" if record is None else type(record).__name__,
            fix="Restore the file with git, or correct it.",
        )
    return record


def _require_plain(path: Path, text: str) -> None:
    """:class:`InputError` for what makes a small file a large one, or a slow one."""
    depth = deepest = aliases = 0
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        deepest = max(deepest, depth)
        aliases += isinstance(event, yaml.AliasEvent)
        if aliases or deepest > DEEPEST:
            raise InputError(
                path,
                expected="values that are written out, in sections",
                found=f"more than {DEEPEST} levels" if deepest > DEEPEST else "an alias (*name)",
                fix="Write each value where it belongs.",
            )


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
            found="nothing, and neither the scale nor conf/expert.yaml gives one",
            fix="Give the parameter, or restore the files of conf/ with git.",
        )
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "model_type":
        message = f"a section with the keys {', '.join(_keys_at(detail['loc']))}"
    return InputError(
        f"{where}: {place}",
        expected=message[0].lower() + message[1:],
        found=reprlib.repr(detail.get("input")),
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
    known = isinstance(model, type) and issubclass(model, BaseModel)
    return list(model.model_fields) if known else []
