"""Which scores count: of cases that no model has seen, about what the models predict now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spinalroots.expert.scores import ExpertScore

UNTESTED = "the models were trained on these cases, or did not predict them; score test cases."
OUTDATED = (
    "they are about another version of the prediction, or do not say which; the model has changed "
    "since."
)


@dataclass(frozen=True)
class LeftOut:
    """Scores that stay in the file and enter no mean, and why."""

    scores: list[ExpertScore]
    why: str

    def __str__(self) -> str:
        names = ", ".join(sorted({f"{one.case} ({one.model})" for one in self.scores}))
        return f"scores of {names} are left out: {self.why}"


def sort_out(
    scores: list[ExpertScore], tested: Collection[str], versions: Mapping[tuple[str, str], str]
) -> tuple[list[ExpertScore], list[LeftOut]]:
    """The scores that count, and the others by reason.

    :param tested: the test cases.
    :param versions: (model, case) → version of the prediction as it is now.
    """
    seen = [one for one in scores if one.case not in tested]
    unseen = [one for one in scores if one.case in tested]
    current = [
        one
        for one in unseen
        if one.prediction and one.prediction == versions.get((one.model, one.case))
    ]
    outdated = [one for one in unseen if one not in current]
    reasons = (LeftOut(seen, UNTESTED), LeftOut(outdated, OUTDATED))
    return current, [left_out for left_out in reasons if left_out.scores]
