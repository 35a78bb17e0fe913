"""A lab's annotator: what they label at all, and the mistakes they make doing it.

The roots-as-one mask comes out nearly right, the level map less so, the individual map worst:
gaps, thinned ends, spill into CSF and stretches where two neighbouring levels are swapped. Dorsal
roots are well covered, ventral ones rare; thoracic and lowest sacral levels are often missing.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

from spinalroots.phantom.case import Case
from spinalroots.registry.anatomy import LEVELS, Root, Type, individuals_to_levels
from spinalroots.settings.phantom import Annotator

LEVEL_FREQUENCY = {
    "T9": 0.15, "T10": 0.55, "T11": 0.65, "T12": 0.85, "L1": 1.0, "L2": 1.0, "L3": 1.0,
    "L4": 1.0, "L5": 1.0, "S1": 1.0, "S2": 0.9, "S3": 0.75, "S4": 0.2,
}  # fmt: skip
"""Share of the cases in which a level is annotated: the shape of the paper's Figure 2."""

_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class Plan:
    """What is annotated in one case.

    `kind`: `full`, `partial` (only a stretch of the scan) or `levels` (no individual map).
    `stretch`: lower and upper end of what is annotated, as shares of the scan's height.
    """

    kind: str
    roots: tuple[Root, ...]
    stretch: tuple[float, float]


@dataclass(frozen=True)
class Annotation:
    """What the lab hands over, (X, Y, Z) uint8; `individuals` is None in a levels-only case."""

    plan: Plan
    entity: np.ndarray
    levels: np.ndarray
    individuals: np.ndarray | None
    tissues: np.ndarray


def draw_plan(case: Case, index: int, rng: np.random.Generator) -> Plan:
    """Which roots are annotated.

    The turn of cases and levels follows `index` through a low-discrepancy sequence, so that even a
    handful of cases shows every level somewhere and the shares come out as they are meant.
    """
    kind = {4: "levels", 1: "partial", 8: "partial"}.get(index % 12, "full")
    known = [
        level
        for level, share in LEVEL_FREQUENCY.items()
        if (index * _GOLDEN + LEVELS.index(level) * 0.37) % 1.0 < share
    ]
    ventral_case = index % 5 == 2
    ventral = (
        set(rng.choice(known, size=min(3, len(known)), replace=False)) if ventral_case else set()
    )
    roots = tuple(
        course.root
        for course in case.courses
        if course.root.level in known
        and (course.root.type is Type.DORSAL or course.root.level in ventral)
        and rng.random() > 0.02
    )
    stretch = (0.0, 1.0)
    if kind == "partial":
        stretch = (0.0, 0.78) if index % 2 else (0.25, 1.0)
    return Plan(kind, roots, stretch)


def annotate(case: Case, plan: Plan, params: Annotator, rng: np.random.Generator) -> Annotation:
    """The annotated masks of a case."""
    wanted = np.zeros(256, np.uint8)
    wanted[[root.value for root in plan.roots]] = [root.value for root in plan.roots]
    known = wanted[case.individuals]
    height = known.shape[2]
    known[:, :, : int(plan.stretch[0] * height)] = 0
    known[:, :, int(np.ceil(plan.stretch[1] * height)) :] = 0
    spacing = np.diag(case.affine)[:3]

    entity = _entity(known, case, params, rng)
    rough = known * (entity > 0)
    levels = individuals_to_levels(_gaps(rough, params.gaps_per_root / 3, params, spacing, rng))
    individuals = None
    if plan.kind != "levels":
        individuals = _gaps(rough, params.gaps_per_root, params, spacing, rng)
        individuals = _thin(individuals, case.share, params, spacing, rng)
        individuals = _swap(individuals, params, spacing, rng)
        individuals = _spill(individuals, case, params, rng)
    tissues = np.where(entity > 0, 0, case.tissues)
    return Annotation(plan, entity, levels, individuals, tissues)


def _entity(known, case, params, rng) -> np.ndarray:
    """Nearly right: a few faint voxels are missed, a few just below the edge are added."""
    noise = rng.random(known.shape, np.float32)
    faint = (known > 0) & (case.share < 0.6)
    entity = (known > 0) & ~(faint & (noise < params.entity_error))
    rim = binary_dilation(known > 0) & (case.individuals == 0) & (case.share > 0.15)
    entity |= rim & (noise < params.entity_error)
    return entity.astype(np.uint8)


def _stretches(labels, value, count, length_mm, spacing, rng):
    """Random stretches in slices of a root: (first, last) along z."""
    slices = np.flatnonzero((labels == value).any(axis=(0, 1)))
    for _ in range(count):
        length = max(1, round(rng.uniform(*length_mm) / spacing[2]))
        start = int(rng.choice(slices))
        yield start, start + length


def _gaps(labels, mean, params, spacing, rng) -> np.ndarray:
    """Cut stretches out of the roots."""
    labels = labels.copy()
    for value in _values(labels):
        whole = labels == value
        for start, stop in _stretches(
            labels, value, rng.poisson(mean), params.gap_mm, spacing, rng
        ):
            part = labels[:, :, start:stop]
            part[whole[:, :, start:stop]] = 0
        if not (labels == value).any():
            labels[whole] = value
    return labels


def _thin(labels, share, params, spacing, rng) -> np.ndarray:
    """Keep only the core of both ends, and lose faint voxels everywhere."""
    labels = labels.copy()
    lost = rng.random(labels.shape, np.float32) < params.thinning
    labels[(share < 0.55) & lost] = 0
    for value in _values(labels):
        slices = np.flatnonzero((labels == value).any(axis=(0, 1)))
        cut = max(1, round(params.end_mm / spacing[2]))
        for end in (
            slice(slices[0], slices[0] + cut),
            slice(max(slices[-1] - cut + 1, 0), slices[-1] + 1),
        ):
            part = labels[:, :, end]
            drop = (part == value) & (share[:, :, end] < 0.7)
            if (labels == value).sum() > drop.sum() + 3:
                part[drop] = 0
    return labels


def _swap(labels, params, spacing, rng) -> np.ndarray:
    """Exchange neighbouring levels on the same side over short stretches."""
    labels = labels.copy()
    for value in _values(labels):
        other = value + 4  # the same kind of root, one level down
        if rng.random() < params.swap_share and (labels == other).any():
            for start, stop in _stretches(labels, value, 1, params.swap_mm, spacing, rng):
                part = labels[:, :, start:stop]
                one, two = part == value, part == other
                part[one], part[two] = other, value
    return labels


def _spill(labels, case, params, rng) -> np.ndarray:
    """Paint a little over the edge of the roots."""
    spilt = labels.copy()
    noise = rng.random(labels.shape, np.float32)
    for axis in (0, 1):
        for step in (-1, 1):
            moved = np.roll(labels, step, axis)
            free = (spilt == 0) & (moved > 0) & (case.tissues != 1) & (noise < params.spill / 2)
            spilt[free] = moved[free]
            noise = np.where(free, 1.0, noise)
    return spilt


def _values(labels: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(labels) if value]
