"""Which scans are used, checked, refined and held out."""

from typing import Annotated, Literal

from pydantic import Field

from spinalroots.registry.anatomy import LEVELS, Region, Type
from spinalroots.settings.base import Count, Fraction, NonNegative, Positive, Section, Whole


class Data(Section):
    """Which scans are used."""

    source: Literal["phantom", "ingested"]
    phantom_cases: Whole  # synthetic training cases added when source is `ingested`


class Check(Section):
    """What the check of the raw data calls out."""

    strict: bool  # findings end the stage with an error
    tiny_voxels: Count  # a label with fewer voxels is called tiny
    mismatch_share: Fraction  # of a map's root voxels that contradict another map
    unlabelled_share: Fraction  # of the voxels of the mask of all roots that have no root or level
    wrong_side_share: Fraction  # of a root's voxels on the other side of the sac's middle


class Refine(Section):
    """From 120 classes to those that matter, into the entity mask, cropped."""

    levels: tuple[Literal[LEVELS], ...]  # type: ignore[valid-type]
    types: tuple[Type, ...]
    regions: tuple[Region, ...]
    connectivity: Literal[6, 18, 26]  # neighbours that a label grows to
    trust_levels: bool  # where level and individual map differ, the level map is right
    margin_along_mm: NonNegative  # kept above and below the labelled roots
    margin_around_mm: NonNegative  # kept around the sac


class Split(Section):
    """Who is held out; below 1 a share of the subjects, from 1 on their number."""

    validation: NonNegative
    test: Positive
    fold: Whole  # of a rotation: each tests on the next part of the subjects


class CentrelineSearch(Section):
    """How the line through cord and sac is found."""

    method: Literal["auto", "sct", "image"]
    stiffness_mm: Annotated[float, Field(gt=0, le=1000)]
    search_mm: Annotated[float, Field(ge=0.25, le=20)]
    figure_mm: Annotated[float, Field(gt=0, le=1000)]
