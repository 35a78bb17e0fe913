"""How a trained network segments a whole scan. Changing it never trains anything again."""

from typing import Annotated, Literal

from pydantic import Field

from spinalroots.settings.base import Count, Fraction, NonNegative, Positive, Section

Decoding = Literal["entity_first", "argmax"]
"""`entity_first`: root where all roots together beat the background, then the likeliest root."""


class HardnetInference(Section):
    """HarDNet: windows along the straightened scan."""

    decoding: Decoding
    overlap: Fraction  # share of a window that the next one covers again
    mirroring: bool  # average with the mirrored scan: twice the time


class AnatomyInference(Section):
    """The anatomy network, slice by slice of the straightened scan."""

    root_cut: Annotated[float, Field(gt=0, lt=1)] = 0.5  # chance from which a voxel is root
    cord_cut: Annotated[float, Field(ge=0, lt=1)] = 0.0  # chance below which it is never cord
    naming: Literal["dice", "argmax"] = "argmax"  # dice: where a name's mask gains by a voxel too
    mirroring: bool  # average with the mirrored scan: twice the time, a steadier cord
    voxel_mm: Positive  # in plane; a little finer than in training
    along_mm: NonNegative  # spread of the window in which a thread's voxels agree on its name
    across_mm: NonNegative
    course_mm: NonNegative = 0.0  # spread of a root around its course; 0 follows no courses
    extent_mm: NonNegative = 0.0  # softness of the ends between which a level runs; 0: anywhere
    reach_mm: NonNegative  # another network's roots further from the sac are no roots


class NnunetInference(Section):
    """nnU-Net: its sliding window, along a tube around the centreline."""

    decoding: Decoding
    tile_step: Annotated[float, Field(gt=0, le=1)]  # shift between tiles, share of a tile
    tiles_at_once: Count  # bounds the memory
    margin_mm: NonNegative  # in-plane, around the centreline


AnyInference = AnatomyInference | HardnetInference | NnunetInference


class Inference(Section):
    """All families."""

    anatomy: AnatomyInference
    hardnet: HardnetInference
    nnunet: NnunetInference
