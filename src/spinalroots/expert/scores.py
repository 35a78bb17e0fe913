"""One expert's judgement of one prediction, checked; which of them count, and their mean.

0.5 says that the pre-annotation was no help, 1.0 that nothing was left to do (the paper, III). The
simulated score lives elsewhere (:mod:`spinalroots.metrics.effort`), and the two never meet in one
mean.
"""

import datetime
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from spinalroots.dataset.layout import CASE_NAME
from spinalroots.errors import InputError
from spinalroots.expert.predictions import VERSION
from spinalroots.metrics.effort import NO_HELP, NOTHING_LEFT
from spinalroots.metrics.measurements import regions_of
from spinalroots.registry.anatomy import Region
from spinalroots.registry.models import MODELS


@dataclass(frozen=True)
class ExpertScore:
    """One expert's judgement of one model's prediction for one case.

    `minutes_without` and `minutes_with` are the annotation times without and with the
    pre-annotation, if they were taken; `date` is ISO (2025-03-31) or empty. `prediction` is the
    version of the masks that were scored (:mod:`spinalroots.expert.predictions`); empty: not known.
    """

    case: str
    model: str
    region: str
    rater: str
    score: float
    minutes_without: float | None = None
    minutes_with: float | None = None
    comment: str = ""
    date: str = ""
    prediction: str = ""


COLUMNS = tuple(field.name for field in fields(ExpertScore))
OPTIONAL = ("date", "prediction")
UNTESTED = "the models were trained on these cases, or did not predict them; score test cases."
OUTDATED = (
    "they are about another version of the prediction, or do not say which; the model has changed "
    "since."
)


def validated(record: dict, where: str, known_cases: Collection[str] | None = None) -> ExpertScore:
    """The record as a :class:`ExpertScore`.

    No region stands for the model's own.

    :raises InputError: unknown case, model or region, no rater, a score outside 0.5…1.0, minutes
        that are no positive number, a date that is not ISO, a malformed version, an unknown
        column.
    """

    def refuse(column: str, expected: str, fix: str = "Correct the row.") -> InputError:
        found = repr(record.get(column)) if record.get(column) not in (None, "") else "nothing"
        return InputError(f"{where}: {column}", expected=expected, found=found, fix=fix)

    if unknown := [name for name in record if name not in COLUMNS]:
        raise InputError(
            where,
            expected=f"the columns {', '.join(COLUMNS)}",
            found=f"{unknown[0]!r}",
            fix="Remove it, or put text with commas in quotes.",
        )
    text = {name: str(record.get(name) or "").strip() for name in COLUMNS}
    if not CASE_NAME.match(text["case"]) or (
        known_cases is not None and text["case"] not in known_cases
    ):
        known = f" such as {min(known_cases)}" if known_cases else " such as sub-001"
        raise refuse("case", f"the name of a known case{known}", "Name a case of the data set.")
    if text["model"] not in MODELS:
        raise refuse("model", f"one of {', '.join(MODELS)}")
    own = regions_of(MODELS[text["model"]].region)
    text["region"] = text["region"] or str(own[0])
    if text["region"] not in own:
        raise refuse("region", f"what {text['model']} segments: {', '.join(own)}")
    if not text["rater"]:
        raise refuse("rater", "who scored (initials are enough)", "Name the rater.")
    score = _number(record.get("score"))
    if score is None or not NO_HELP <= score <= NOTHING_LEFT:
        raise refuse("score", "a number from 0.5 (no help) to 1.0 (nothing left to do)")
    minutes: dict[str, Any] = {
        name: _number(record.get(name)) for name in ("minutes_without", "minutes_with")
    }
    for name, value in minutes.items():
        if text[name] and (value is None or value < 0):
            raise refuse(name, "minutes, 0 or more, or nothing")
    if text["date"] and not _is_date(text["date"]):
        raise refuse("date", "a date such as 2025-03-31, or nothing")
    if text["prediction"] and not VERSION.match(text["prediction"]):
        raise refuse("prediction", "a version of 12 hexadecimal digits, or nothing")
    checked: dict[str, Any] = {**text, **minutes, "score": score}
    return ExpertScore(**checked)


def sort_out(
    scores: list[ExpertScore], tested: Collection[str], versions: Mapping[tuple[str, str], str]
) -> tuple[list[ExpertScore], list[str]]:
    """The scores that count, and a sentence about those that enter no mean, by reason.

    :param tested: the test cases.
    :param versions: (model, case) → version of the prediction as it is now.
    """
    current, seen, outdated = [], [], []
    for one in scores:
        if one.case not in tested:
            seen.append(one)
        elif one.prediction and one.prediction == versions.get((one.model, one.case)):
            current.append(one)
        else:
            outdated.append(one)
    left_out = [(seen, UNTESTED), (outdated, OUTDATED)]
    return current, [_told(rows, why) for rows, why in left_out if rows]


def mean_per_case(rows: list[ExpertScore], model: str, region: Region | str) -> dict[str, float]:
    """Case → mean score of its raters, for one model and one region.

    A rater who scored a case again has changed their mind: the later row counts.
    """
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.model == model and row.region == Region(region):
            scores.setdefault(row.case, {})[row.rater] = row.score
    return {
        case: math.fsum(by_rater.values()) / len(by_rater)
        for case, by_rater in sorted(scores.items())
    }


def _told(scores: list[ExpertScore], why: str) -> str:
    names = ", ".join(sorted({f"{one.case} ({one.model})" for one in scores}))
    return f"scores of {names} are left out: {why}"


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
