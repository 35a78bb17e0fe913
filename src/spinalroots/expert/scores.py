"""One expert's judgement of one prediction, checked; which of them count, and their mean.

0.5 says that the pre-annotation was no help, 1.0 that nothing was left to do (the paper, III). A
scan that an artefact has spoilt gets that verdict and no score. The simulated score lives elsewhere
(:mod:`spinalroots.metrics.effort`), and the two never meet in one mean.
"""

import datetime
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from spinalroots.dataset.layout import CASE_NAME
from spinalroots.errors import InputError
from spinalroots.expert.predictions import VERSION
from spinalroots.metrics.effort import NO_HELP, NOTHING_LEFT
from spinalroots.metrics.measurements import regions_of
from spinalroots.registry.anatomy import Region, Scheme, label_names
from spinalroots.registry.models import MODELS


class Verdict(StrEnum):
    """What a reviewer says of a whole case; `artefact`: the scan itself cannot be judged."""

    PASS = "pass"
    FAIL = "fail"
    ARTEFACT = "artefact"


@dataclass(frozen=True)
class ExpertScore:
    """One expert's judgement of one model's prediction for one case.

    `minutes_without` and `minutes_with` are the annotation times without and with the
    pre-annotation, if they were taken; `date` is ISO (2025-03-31) or empty. `prediction` is the
    version of the masks that were scored (:mod:`spinalroots.expert.predictions`); empty: not known.
    `verdict` is a :class:`Verdict` or empty; only with `artefact` there may be no score. `to_mend`:
    names of roots or levels that are wrong, with blanks between.
    """

    case: str
    model: str
    region: str
    rater: str
    score: float | None
    minutes_without: float | None = None
    minutes_with: float | None = None
    comment: str = ""
    date: str = ""
    prediction: str = ""
    verdict: str = ""
    to_mend: str = ""


COLUMNS = tuple(field.name for field in fields(ExpertScore))
OPTIONAL = ("date", "prediction", "verdict", "to_mend")
NAMES = frozenset(
    name for scheme in (Scheme.LEVELS, Scheme.INDIVIDUALS) for name in label_names(scheme).values()
)
SPOILT = "an artefact has spoilt the scan, their raters say."
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
        verdict, root or column.
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
    text["to_mend"] = " ".join(text["to_mend"].split())
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
    if text["verdict"] and text["verdict"] not in set(Verdict):
        raise refuse("verdict", f"one of {', '.join(Verdict)}, or nothing")
    if unknown := [name for name in text["to_mend"].split() if name not in NAMES]:
        raise refuse("to_mend", "roots such as L3_D_L, or levels", f"Correct {unknown[0]!r}.")
    score = _number(record.get("score"))
    unscored = text["verdict"] == Verdict.ARTEFACT and text["score"] == ""
    if not unscored and (score is None or not NO_HELP <= score <= NOTHING_LEFT):
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
    spoilt = [one for one in current if one.score is None]
    left_out = [(seen, UNTESTED), (outdated, OUTDATED), (spoilt, SPOILT)]
    return current, [_told(rows, why) for rows, why in left_out if rows]


def mean_per_case(rows: list[ExpertScore], model: str, region: Region | str) -> dict[str, float]:
    """Case → mean score of its raters, for one model and one region.

    A rater who scored a case again has changed their mind: the later row counts, and one without a
    score takes the earlier one back.
    """
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.model != model or row.region != Region(region):
            continue
        by_rater = scores.setdefault(row.case, {})
        by_rater.pop(row.rater, None)
        if row.score is not None:
            by_rater[row.rater] = row.score
    return {
        case: math.fsum(by_rater.values()) / len(by_rater)
        for case, by_rater in sorted(scores.items())
        if by_rater
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
