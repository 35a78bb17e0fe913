"""Who is trained on and who is held out: by subject, reproducible, real scans tested first."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from spinalroots.errors import InputError
from spinalroots.registry.paths import INGESTED

_AUGMENTED = re.compile(r"aug\d+$")

SETS = ("train", "validation", "test")
ENOUGH_TO_TRAIN = 7
"""Subjects of whom a fixed number is held out: with so many left, fewer than half may train."""


def split_cases(
    subjects: Mapping[str, str],
    sources: Mapping[str, str],
    *,
    validation: float,
    test: float,
    seed: int,
    looks: Mapping[str, str] | None = None,
    levels_only: frozenset[str] = frozenset(),
    fold: int = 0,
) -> dict[str, list[str]]:
    """Case names of `train`, `validation` and `test`, sorted; no subject is in two of them.

    Where there are ingested scans, only they are tested on, and synthetic ones are extra training
    data (validated on only if too few ingested ones are left). Where subjects are few, the held-out
    sets are cut down until half of the subjects (one of three), or seven of many, are left to train
    on. Every set holds the looks of the cases in turn, as far as they go.

    :param subjects: case → subject; several scans of one person share a subject.
    :param sources: case → `phantom` or `ingested`.
    :param looks: case → its kind, such as `physical` or `randomised`; of one kind if not given.
    :param levels_only: cases without an individual map; held out only if nobody else is left,
        because models of individual roots cannot be judged on them.
    :param validation, test: share of the subjects below 1 (at least one), else their number.
    :param fold: each tests on the subjects that follow those of the one before: with a fifth of
        them, folds 0 to 4 test on everyone once.
    :raises InputError: fewer than three subjects.
    """
    last = {subjects[case] for case in levels_only}
    real = {subjects[case] for case in subjects if sources[case] == INGESTED.name}
    synthetic = set(subjects.values()) - real
    kinds = {subjects[case]: look for case, look in sorted((looks or {}).items())}
    tested, others = _order(real, last, kinds, [seed, 0]), _order(synthetic, last, kinds, [seed, 1])
    if not real:
        tested, others = others, []
    people = len(tested) + len(others)
    if people < 3:
        raise InputError(
            "the split",
            expected="annotated scans of at least three subjects: training, validation, test",
            found=f"{people}",
            fix="Ingest more, or add synthetic ones with data.phantom_cases.",
        )
    base = len(tested)
    room = max(2, people // 2, people - ENOUGH_TO_TRAIN)
    n_test = min(_number(test, base), base, room - bool(validation))
    n_validation = min(_number(validation, base), room - n_test) if validation else 0
    order = [*_turned(tested, last, fold * n_test), *others]
    chosen = {
        "test": set(order[:n_test]),
        "validation": set(order[n_test : n_test + n_validation]),
        "train": set(order[n_test + n_validation :]),
    }
    split = {
        name: sorted(case for case in subjects if subjects[case] in chosen[name]) for name in SETS
    }
    require_disjoint(split, subjects)
    return split


def require_disjoint(split: Mapping[str, list[str]], subjects: Mapping[str, str]) -> None:
    """:class:`InputError` if a case or a subject is in more than one set."""
    seen: dict[str, str] = {}
    for name, cases in split.items():
        for case in cases:
            subject = subjects.get(case, case)
            if seen.setdefault(subject, name) != name:
                raise InputError(
                    f"subject {subject}",
                    expected="a place in one set only",
                    found=f"cases in {seen[subject]} and {name}",
                    fix="Make the split again.",
                )


def require_unseen(cases: Iterable[str], split: dict[str, list[str]]) -> None:
    """:class:`InputError` if a case, or an augmented child of it, was trained or validated on."""
    seen = {
        _AUGMENTED.sub("", case): part
        for part in ("train", "validation")
        for case in split.get(part, [])
    }
    for case in cases:
        if part := seen.get(_AUGMENTED.sub("", case)):
            raise InputError(
                f"case {case}",
                expected="a case that no model has seen",
                found=f"one of the {part} cases",
                fix="Score test cases only; see data/split.json.",
            )


def _turned(order: list[str], last: set[str], by: int) -> list[str]:
    """The subjects from the `by`-th on, then those before it; those of `last` stay at the end."""
    able = [subject for subject in order if subject not in last]
    start = by % len(able) if able else 0
    return [*able[start:], *able[:start], *(subject for subject in order if subject in last)]


def _number(wanted: float, of: int) -> int:
    return max(1, round(wanted * of)) if wanted < 1 else round(wanted)


def _order(
    subjects: set[str], last: set[str], kinds: Mapping[str, str], seed: list[int]
) -> list[str]:
    """The subjects shuffled, their kinds in turn, those of `last` at the end."""
    ordered = sorted(subjects)
    shuffled = [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]
    turn: Counter[tuple[bool, str]] = Counter()
    place = {}
    for subject in shuffled:
        group = subject in last, kinds.get(subject, "")
        place[subject] = subject in last, turn[group]
        turn[group] += 1
    return sorted(shuffled, key=place.__getitem__)
