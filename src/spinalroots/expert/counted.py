"""Which scores count: of cases that no model has seen, about what the models predict now."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from spinalroots.expert.scores import ExpertScore

UNTESTED = "the models were trained on these cases, or did not predict them; score test cases."
OUTDATED = (
    "they are about another version of the prediction, or do not say which; the model has changed "
    "since."
)


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


def _told(scores: list[ExpertScore], why: str) -> str:
    names = ", ".join(sorted({f"{one.case} ({one.model})" for one in scores}))
    return f"scores of {names} are left out: {why}"
