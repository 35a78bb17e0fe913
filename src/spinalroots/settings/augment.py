"""Augmentation: transforms, limits, balance."""

from typing import Annotated, Literal

from pydantic import Field

from spinalroots.settings.base import Count, CountRange, Fraction, NonNegative, Section, Whole

SplinePoints = Annotated[int, Field(ge=4)]  # a cubic B-spline needs four
Axes = Annotated[list[Literal[0, 1, 2]], Field(min_length=1)]  # 0 right, 1 anterior, 2 superior


class Chance(Section):
    """How often an augmentation transform happens."""

    probability: Fraction


class Rotation(Chance):
    limit_deg: tuple[NonNegative, NonNegative, NonNegative]  # ± about the R, A and S axes


class Translation(Chance):
    limit_mm: tuple[NonNegative, NonNegative, NonNegative]  # ± along R, A, S


class Scaling(Chance):
    limit_percent: Annotated[float, Field(ge=0, le=50)]  # ± of each axis on its own


class Elastic(Chance):
    limit_mm: NonNegative  # ± displacement of a control point
    control_points: tuple[SplinePoints, SplinePoints, SplinePoints]  # per axis


class Gamma(Chance):
    limit_log: NonNegative  # the exponent lies within exp(± this)


class BiasField(Chance):
    limit: NonNegative  # ± coefficient of each monomial of the log field
    order: Count  # of the polynomial


class Blur(Chance):
    limit_mm: NonNegative  # largest standard deviation


class Anisotropy(Chance):
    limit_factor: Annotated[float, Field(ge=1)]  # slices at most this many times thicker
    axes: Axes


class Motion(Chance):
    limit_deg: NonNegative  # ± about each axis
    limit_mm: NonNegative  # ± along each axis
    moves: Count  # during the scan


class Ghosting(Chance):
    limit: Fraction  # largest share of k-space lines' signal that is lost
    ghosts: CountRange  # fewest, most
    axes: Axes  # phase directions


class Spikes(Chance):
    limit: NonNegative  # ± share of k-space's maximum
    spikes: Count


class Noise(Chance):
    limit: NonNegative  # largest standard deviation, share of the scan's robust range


class Transforms(Section):
    """Augmentation transforms: how often, and within which limits; see docs/augmentation.md."""

    flip: Chance
    rotation: Rotation
    translation: Translation
    scaling: Scaling
    elastic: Elastic
    gamma: Gamma
    bias_field: BiasField
    blur: Blur
    anisotropy: Anisotropy
    motion: Motion
    ghosting: Ghosting
    spikes: Spikes
    noise: Noise


class Augment(Section):
    """Variants of the training cases that balance the classes."""

    variants: Whole  # augmented cases in all
    variants_per_case: Count  # at most, of one parent
    whole_per_case: Whole  # variants of the whole extent, before any crop
    target_ratio: Fraction  # rarest class's voxels over the median class's
    crop_margin_mm: NonNegative  # kept above and below the levels that a crop is made for
    transforms: Transforms
