"""Synthetic scans and their annotator."""

from typing import Annotated

from pydantic import AfterValidator

from spinalroots.settings.base import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveRange,
    Range,
    Section,
)


def _orientation(code: str) -> str:
    """Three letters, one of each pair, such as RAS or PSR."""
    if sorted(code.translate(str.maketrans("LPI", "RAS"))) != ["A", "R", "S"]:
        raise ValueError("an orientation of three letters such as RAS, LPS or PSR")
    return code


Orientation = Annotated[str, AfterValidator(_orientation)]


class Annotator(Section):
    """How often and how badly the phantoms' annotator errs."""

    entity_error: Fraction
    gaps_per_root: NonNegative
    gap_mm: Range
    end_mm: NonNegative
    thinning: Fraction
    spill: Fraction
    swap_share: Fraction
    swap_mm: Range


class Rare(Section):
    """What few patients have: shares of the randomised phantoms; spinalroots.phantom.rare."""

    low_conus: Fraction
    stenosis: Fraction
    scoliosis: Fraction
    sleeves: Fraction
    four_or_six_lumbar: Fraction
    any_voxels: Fraction


class Phantom(Section):
    """Synthetic scans. A range is drawn from evenly, once per case."""

    cases: Count
    randomised_share: Fraction  # with contrast, shapes and packing wider than published
    in_plane_mm: PositiveRange
    slice_mm: PositiveRange
    field_mm: tuple[Positive, Positive]  # left-right and antero-posterior extent
    sagittal_share: Fraction
    orientations: tuple[Orientation, ...]
    noise: Range
    subvoxels: Count
    mask_coverage: Fraction
    rare: Rare
    annotator: Annotator
