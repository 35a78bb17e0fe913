"""The paper's refinement of one case (II-B): classes, flood fill, crop; arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.boxes import bounding_box, union_box, widened
from spinalroots.imaging.volume import Box
from spinalroots.refine.annotation import Annotation
from spinalroots.refine.flood_fill import Filled, flood_fill
from spinalroots.refine.sac import roots_in_tissues, shows_roots
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels, levels_of
from spinalroots.settings.dataset import Refine


@dataclass(frozen=True)
class Refined:
    """Refined maps (X, Y, Z) uint8 inside `box` of the scan's RAS+ grid.

    `individuals` is None where the case was annotated by level only. `entity` holds every root that
    any mask shows, named or not; the filum may be among the latter. `counts`, voxels of the whole
    scan, of the individual map or else of the level map: `entity`, `spill` (labelled outside the
    entity mask, removed), `labelled_before` and `labelled_after` (of the entity mask),
    `unreachable` (of the entity mask, where no label can be reached; left unlabelled) and
    `repaired` (drawn voxels whose level the level map corrected); and `unnamed`, of the box, the
    roots without a chosen name.
    """

    box: Box
    entity: np.ndarray
    individuals: np.ndarray | None
    levels: np.ndarray
    tissues: np.ndarray | None
    counts: dict[str, int]

    def maps(self) -> dict[Scheme, np.ndarray]:
        """The maps to store, by scheme."""
        stored = {Scheme.ENTITY: self.entity, Scheme.LEVELS: self.levels}
        if self.individuals is not None:
            stored[Scheme.INDIVIDUALS] = self.individuals
        if self.tissues is not None:
            stored[Scheme.TISSUES] = self.tissues
        return stored


def selection(params: Refine) -> Target:
    """The refined classes: the chosen levels of the chosen regions, and types.

    :raises InputError: nothing is left.
    """
    levels = tuple(
        level
        for level in params.levels
        if any(level in levels_of(region, (level,)) for region in params.regions)
    )
    if not levels or not params.types:
        raise InputError(
            "refine.levels, refine.regions, refine.types",
            expected="at least one level and one type in common",
            found="none",
            fix="Widen the selection.",
        )
    return Target(Scheme.INDIVIDUALS, levels, tuple(params.types))


def refine(annotation: Annotation, params: Refine) -> Refined | None:
    """Refine a case; None if no chosen root is labelled in it.

    All 120 labels grow, so that no root takes the voxels of a neighbour that is left out later;
    then the classes are chosen. A voxel that only the level map knows gets its level, not a root.
    """
    target = selection(params)
    grown, levels, counts = grow(annotation, params)
    individuals = None
    if grown is not None:
        chosen = target.decode(target.encode(grown))
        individuals = chosen if chosen.any() else None
        by_root = individuals_to_levels(chosen)
        levels = np.where(grown != 0, by_root, levels)
    by_level = Target(Scheme.LEVELS, target.levels)
    levels = by_level.decode(by_level.encode(levels))
    sac = None if annotation.tissues is None else np.isin(annotation.tissues, (1, 2))
    box = annotated_box(
        levels,
        sac,
        annotation.volume.spacing_mm,
        along_mm=params.margin_along_mm,
        around_mm=params.margin_around_mm,
    )
    if box is None:
        return None
    entity = all_roots(annotation, box)
    counts["unnamed"] = int(np.count_nonzero((entity != 0) & (levels[box] == 0)))
    return Refined(
        box,
        entity,
        None if individuals is None else individuals[box].copy(),
        levels[box].copy(),
        None if annotation.tissues is None else annotation.tissues[box].copy(),
        counts,
    )


def all_roots(annotation: Annotation, box: Box) -> np.ndarray:
    """Mask (X, Y, Z) uint8, inside `box`, of what is or may be a root: labelled, in the entity
    mask, or shown by the tissue map."""
    roots, tissues = annotation.roots()[box], annotation.tissues
    if tissues is not None and shows_roots(tissues):
        roots = roots | roots_in_tissues(tissues[box], roots, annotation.volume.spacing_mm)
    return roots.astype(np.uint8)


def with_levels(
    individuals: np.ndarray, levels: np.ndarray | None, drawn: np.ndarray
) -> np.ndarray:
    """The individual map with its levels taken from the level map, where that knows one.

    Two neighbours are easily swapped root by root, and hardly level by level: where the two maps
    differ, the level map is right about the level, the individual map about type and side. Only
    roots that occur in `drawn`, the individual map as annotated, are given; others are no guess.
    """
    if levels is None:
        return individuals
    slot = (individuals - np.uint8(1)) % np.uint8(4)
    corrected = (np.uint8(4) * (levels - np.uint8(1)) + np.uint8(1) + slot).astype(np.uint8)
    known = np.zeros(256, bool)
    known[np.unique(drawn)] = True
    return np.where((individuals != 0) & (levels != 0) & known[corrected], corrected, individuals)


def grow(
    annotation: Annotation, params: Refine
) -> tuple[np.ndarray | None, np.ndarray, dict[str, int]]:
    """Individual map (None without one) and level map of all labels, grown in the entity mask.

    The level map is 0 where the individual map is not and nobody drew a level.
    """
    entity = annotation.roots()
    spacing_mm = annotation.volume.spacing_mm
    drawn = annotation.individuals
    if drawn is None or not drawn.any():
        levels = annotation.level_labels() if annotation.levels is None else annotation.levels
        filled = flood_fill(levels, entity, spacing_mm, params.connectivity)
        return None, filled.labels, _counts(levels, entity, filled)
    known = annotation.levels if params.trust_levels else None
    filled = flood_fill(with_levels(drawn, known, drawn), entity, spacing_mm, params.connectivity)
    individuals = with_levels(filled.labels, known, drawn)
    changed = np.count_nonzero((individuals != drawn) & (drawn != 0) & entity)
    counts = _counts(drawn, entity, filled) | {"repaired": int(changed)}
    levels = np.where(
        individuals != 0, individuals_to_levels(individuals), annotation.level_labels()
    )
    levels = flood_fill(levels, entity, spacing_mm, params.connectivity).labels
    return individuals, levels, counts


def annotated_box(
    roots: np.ndarray,
    sac: np.ndarray | None,
    spacing_mm: np.ndarray,
    *,
    along_mm: float,
    around_mm: float,
) -> Box | None:
    """The box to keep of a scan, in voxels of a RAS+ grid; None if there is no labelled root.

    Along the third axis it spans the labelled roots plus `along_mm` at each end; across, the sac
    (and the roots) within that span plus `around_mm`. It never leaves the volume.

    :param roots: (X, Y, Z), non-zero where a refined root is.
    :param sac: (X, Y, Z), non-zero in cord and CSF; None or empty: the roots stand in for it.
    """
    labelled = bounding_box(roots != 0)
    if labelled is None:
        return None
    margin_vox = np.ceil(np.array([around_mm, around_mm, along_mm]) / spacing_mm - 1e-9).astype(int)
    along = widened(labelled, margin_vox, roots.shape)[2]
    across: Box | None = bounding_box((roots != 0)[:, :, along])
    if sac is not None:
        across = union_box(across, bounding_box((sac != 0)[:, :, along]))
    assert across is not None  # the roots are in it
    return (*widened(across, margin_vox, roots.shape)[:2], along)


def _counts(drawn: np.ndarray, entity: np.ndarray, filled: Filled) -> dict[str, int]:
    size = int(np.count_nonzero(entity))
    return {
        "entity": size,
        "spill": filled.spill_voxels,
        "labelled_before": int(np.count_nonzero((drawn != 0) & entity)),
        "labelled_after": size - filled.unreachable_voxels,
        "unreachable": filled.unreachable_voxels,
        "repaired": 0,
    }
