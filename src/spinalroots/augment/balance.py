"""Which case, which crop, how often: from class counts to a plan. Pure arithmetic, no files.

Roots differ in length, so their classes differ in voxels, and some levels appear in few scans. A
crop along the cord that shows a rare level and leaves the common ones out raises its share; a
variant of a whole case hardly does. The plan is greedy: it takes the candidate that most raises the
mean log share of the classes, which is largest when all classes are equally frequent and falls
without bound when one of them vanishes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEARLY_BEST = 0.8
"""Crops with this share of the best gain count as good; the least used parent's is taken."""

SLACK = 1.05
"""The plan aims above the target by this factor: turning moves some voxels out of a crop."""


@dataclass(frozen=True)
class Candidate:
    """Slices `first`…`last` (inclusive) of `case`; `levels` says what the crop is made for."""

    case: str
    levels: str
    first: int
    last: int


@dataclass(frozen=True)
class Step:
    """One planned variant: the candidate's index, why it was taken, and the ratio it leads to."""

    candidate: int
    purpose: str
    ratio: float


@dataclass(frozen=True)
class Balance:
    """The steps in order, and the limit that stopped them short of the target ("" if none did)."""

    steps: tuple[Step, ...]
    limit: str


def crop_candidates(
    case: str, level_slices: np.ndarray, level_names: Sequence[str], margin_slices: int
) -> list[Candidate]:
    """The whole case first, then one crop for every run of neighbouring levels that it shows.

    :param level_slices: (Z, levels) voxels of each level in each slice.
    :param margin_slices: kept above and below.
    """
    depth = len(level_slices)
    found = [Candidate(case, "all", 0, depth - 1)]
    extent = {}
    for index, counts in enumerate(level_slices.T):
        slices = np.flatnonzero(counts)
        if len(slices):
            extent[index] = (int(slices[0]), int(slices[-1]))
    present = sorted(extent)
    for position, top in enumerate(present):
        for bottom in present[position:]:
            inside = [extent[level] for level in present if top <= level <= bottom]
            first = max(min(low for low, _ in inside) - margin_slices, 0)
            last = min(max(high for _, high in inside) + margin_slices, depth - 1)
            name = level_names[top] + (f"-{level_names[bottom]}" if bottom > top else "")
            candidate = Candidate(case, name, first, last)
            known = {(other.first, other.last) for other in found}
            if (first, last) not in known:
                found.append(candidate)
    return found


def plan_variants(
    voxels: np.ndarray,
    case_of: Sequence[int],
    start: np.ndarray,
    *,
    variants: int,
    per_case: int,
    whole_per_case: int,
    target_ratio: float,
) -> Balance:
    """Choose variants until the rarest class holds `target_ratio` of the median class's voxels.

    First every case gets `whole_per_case` variants of its whole extent, for variety; then crops
    raise the rare classes; what is left of the budget goes to the least used cases, each time to
    their longest crop with which the target still holds.

    :param voxels: (candidates, classes) voxels that a candidate adds; each case's first candidate
        is the whole case.
    :param case_of: (candidates,) number of the case.
    :param start: (classes,) voxels before augmentation; classes without any are not balanced.
    :param variants: how many to choose at most; `per_case` of one case at most.
    """
    _, whole, owner = np.unique(case_of, return_index=True, return_inverse=True)
    aim = min(SLACK * target_ratio, 1.0)
    seen = start > 0
    totals = start.astype(float)
    used = np.zeros(len(whole), int)
    chosen: list[Step] = []

    def take(candidate: int, purpose: str) -> None:
        nonlocal totals
        totals = totals + voxels[candidate]
        used[owner[candidate]] += 1
        chosen.append(Step(candidate, purpose, rarest_ratio(totals)))

    for _ in range(whole_per_case):
        for case, candidate in enumerate(whole.tolist()):
            if len(chosen) < variants and used[case] < per_case:
                take(candidate, "variety")
    limit = "" if seen.any() else "no training case has a root that could be balanced"
    while len(chosen) < variants and seen.any():
        times = used[owner]
        free = times < per_case
        if not free.any():
            break
        after = totals + voxels
        if rarest_ratio(totals) < aim:
            gain = mean_log_share(after[:, seen]) - mean_log_share(totals[seen])
            gain = np.where(free, gain, -np.inf)
            if gain.max() <= 1e-9:
                limit = "no crop raises the rare classes: they are only seen beside the common ones"
                break
            near = np.flatnonzero(gain >= NEARLY_BEST * gain.max())
            take(int(near[np.lexsort((-gain[near], times[near]))[0]]), "balance")
            continue
        good = free & (np.array([rarest_ratio(row) for row in after]) >= aim)
        if not good.any():
            break
        good &= times == times[good].min()
        most = np.where(good, voxels.sum(axis=1), -1)
        take(int(most.argmax()), "variety")
    if seen.any() and rarest_ratio(totals) < target_ratio and not limit:
        limit = (
            f"augment.variants: the budget of {variants} variants is used up"
            if len(chosen) >= variants
            else f"augment.variants_per_case: every parent has its {per_case} variants"
        )
    return Balance(tuple(chosen), limit)


def mean_log_share(voxels: np.ndarray) -> np.ndarray:
    """Mean over the n classes (last axis) of log(share): at most -log(n), when all are equal."""
    return np.log(voxels).mean(axis=-1) - np.log(voxels.sum(axis=-1))


def rarest_ratio(voxels: np.ndarray) -> float:
    """Voxels of the rarest class over those of the median class, of the classes that occur."""
    some = voxels[voxels > 0]
    return float(some.min() / np.median(some)) if some.size else 0.0


def entropy(voxels: np.ndarray) -> float:
    """Shannon entropy of the classes' voxel shares, in nats; log(n) when n classes are equal."""
    share = voxels[voxels > 0] / max(voxels.sum(), 1)
    return float(-(share * np.log(share)).sum()) + 0.0


def effective_classes(voxels: np.ndarray) -> float:
    """exp(entropy): how many equally frequent classes would be as varied."""
    return float(np.exp(entropy(voxels))) if voxels.any() else 0.0


WEIGHT_LIMIT = 4.0
"""No class weighs more than this, or less than its inverse, before weights are scaled to mean 1."""


def class_weights(voxels: dict[int, int]) -> dict[int, float]:
    """Loss weight of each class that occurs: (median / voxels) ** ½, bounded, mean 1.

    The root takes the edge off: with inverse frequencies a class of few voxels would drown the rest
    of the gradient in its own annotation noise.
    """
    some = {label: count for label, count in voxels.items() if count > 0}
    if not some:
        return {}
    median = np.median(list(some.values()))
    weight = np.sqrt(median / np.array(list(some.values()), float))
    weight = weight.clip(1 / WEIGHT_LIMIT, WEIGHT_LIMIT)
    weight = weight / weight.mean()
    return {label: round(float(value), 4) for label, value in zip(some, weight, strict=True)}
