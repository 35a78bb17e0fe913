"""The anatomy network: the phantoms that it learns from, the network, its training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spinalroots.settings.base import (
    AsWord,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Range,
    Section,
    Whole,
)
from spinalroots.settings.hardnet import Preset


class Limits(Section):
    """How far the changes on the fly may go. `…_share`: of the samples that one happens to; 0
    leaves it out."""

    recolour_share: Fraction
    stretch_log: NonNegative  # neighbours lie closer together or further apart
    root_spread: NonNegative  # of single roots' signals over their mean
    rotation_deg: NonNegative
    scale_log: NonNegative
    anisotropy_log: NonNegative
    shift_vox: NonNegative
    warp_share: Fraction
    taper: tuple[float, float]  # how much narrower a sample gets per 9 mm towards the back
    sink_mm: NonNegative  # how far the middle sinks back
    elastic_vox: NonNegative  # spread of 5 × 5 control points' displacement
    gamma_log: NonNegative
    curve_share: Fraction  # of a random monotone grey-value curve, mixed half and half
    bias: NonNegative  # spread of the log field's slopes from the middle to 18 mm
    blur_share: Fraction
    blur_vox: NonNegative
    low_resolution_share: Fraction
    thick_share: Fraction  # of sagittal slices
    coronal_share: Fraction  # of these, coronal in place of sagittal
    thick_mm: Range
    noise: NonNegative  # largest spread over CSF's signal
    cut_share: Fraction  # of a field of view that ends within the square
    height_mm: NonNegative  # spread of the error with which the end of the cord is known
    place: NonNegative  # spread of an anchor's error, in vertebrae
    place_stretch: NonNegative  # spread of the stretch that one anchor is carried along with
    unknown_cord_share: Fraction
    unknown_place_share: Fraction
    lost_roots: Fraction  # largest share of a sample's roots that its map lacks as a whole
    root_edge: Range  # chance of root at which a map's edge lies
    root_noise: NonNegative


Neighbours = Annotated[int, Field(ge=0, le=16)]


class Squares(Section):
    """What the network sees, and how it is built."""

    preset: Preset
    naming_preset: Preset
    size_vox: Annotated[int, Field(ge=1, le=1024)]  # edge of a square, at prediction
    voxel_mm: Positive  # in plane, in training
    slice_mm: Positive
    neighbours: Neighbours  # slices on either side, their distances doubling
    naming_neighbours: Neighbours  # the same of the network that names roots


class Anatomy(Squares):
    """All of it."""

    phantoms: Count  # made for this network alone, with every root known
    held_out: Whole  # more of them, on which the network's doubt is calibrated
    randomised_share: Fraction
    cut_vox: Count  # edge of the squares that samples are cut from, turned and shifted
    steps: Count  # of the network that sees tissues
    naming_steps: Count  # of the one that names roots
    batch: Count
    naming_batch: Count
    sample_size_vox: Count  # edge of a sample of the network that sees
    naming_size_vox: Count  # edge of its samples: the sac is enough for names
    learning_rate: Positive
    naming_learning_rate: Positive
    weight_decay: NonNegative
    warm_up: Fraction  # share of the steps until the learning rate is reached
    average: Fraction  # share of the averaged weights that each step keeps
    largest_gradient: Positive
    precision: Annotated[Literal["auto", "32", "bf16-mixed"], AsWord]
    device: Literal["auto", "cpu", "cuda"]
    limits: Limits
    naming_overrides: dict[str, float]  # of `limits`, for the network that names roots

    @model_validator(mode="after")
    def _known_limits(self) -> "Anatomy":
        """A typo among the overrides shows at once."""
        assert self.naming_limits
        return self

    @property
    def naming_limits(self) -> Limits:
        """Limits of the changes to what the naming network learns from: names hang on shape."""
        return Limits.model_validate({**self.limits.model_dump(), **self.naming_overrides})
