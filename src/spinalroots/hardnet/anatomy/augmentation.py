"""From samples of the phantoms to what the network sees: all changes on the fly, in batches."""

from dataclasses import dataclass

import torch

from spinalroots.hardnet.anatomy import contrast, geometry, greys
from spinalroots.hardnet.anatomy.classes import OF_LABEL, ROOT, UNKNOWN
from spinalroots.hardnet.anatomy.draws import chosen, normal
from spinalroots.hardnet.anatomy.limits import Limits
from spinalroots.hardnet.anatomy.naming import Names, names_of
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.positions import encoded
from spinalroots.hardnet.anatomy.sampling import Samples


@dataclass(frozen=True)
class Batch:
    """What the network sees and should say: `image` (B, C, S, S) float32, `classes` (B, S, S) long,
    `names` (B, S, S) and `codes` (B, CODES), see :mod:`.naming` and :mod:`.positions`."""

    image: torch.Tensor
    classes: torch.Tensor
    names: Names
    codes: torch.Tensor


def augmented(
    samples: Samples,
    limits: Limits,
    generator: torch.Generator,
    *,
    offsets: torch.Tensor,
    size: int,
    voxel_mm: float,
) -> Batch:
    """Network inputs and what they show, of samples changed.

    :param offsets: (C,) distances in slices of the channels from the middle one.
    :param size: edge S in voxels, smaller than the samples' own.
    """
    batch, middle = len(samples.image), samples.image.shape[1] // 2
    colours = contrast.draw_colours(limits, generator, batch)
    image = contrast.recoloured(samples.image, samples.anatomy, samples.roots, colours)
    where = geometry.draw_map(limits, generator, batch, size, voxel_mm)
    image = geometry.bent(image, where, voxel_mm)
    labels = geometry.bent_labels(samples.anatomy[:, middle], where, voxel_mm)
    roots = geometry.nearest(samples.roots[:, middle], where, voxel_mm)
    inside = geometry.bent(samples.inside.float(), where, voxel_mm) > 0.5
    inside = inside & geometry.draw_field(limits, generator, batch, size, voxel_mm)
    image = greys.spoiled(limits, generator, image, offsets, voxel_mm)
    classes = torch.from_numpy(OF_LABEL).long()[labels]
    classes = torch.where(inside[:, 0], classes, UNKNOWN)
    roots = torch.where(classes == ROOT, roots, 0)
    return Batch(
        normalised(image, inside, voxel_mm),
        classes,
        names_of(roots, geometry.mirrored(where)),
        encoded(*draw_positions(limits, generator, samples.heights_mm, samples.places)),
    )


def draw_positions(
    limits: Limits, generator: torch.Generator, heights_mm: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates (B,) as a prediction will know them: not to the millimetre, and not always."""
    batch = len(heights_mm)
    heights_mm = heights_mm + limits.height_mm * normal(generator, batch)
    places = places * (1 + limits.place_stretch * normal(generator, batch))
    places = places + limits.place * normal(generator, batch)
    without_end = chosen(generator, limits.unknown_height_share, batch)
    without_anchor = chosen(generator, limits.unknown_place_share, batch)
    return (
        heights_mm.masked_fill(without_end, torch.nan),
        places.masked_fill(without_anchor, torch.nan),
    )
