"""From samples of the phantoms to what the network sees: all changes on the fly, in batches."""

import torch

from spinalroots.hardnet.anatomy import contrast, geometry, greys
from spinalroots.hardnet.anatomy.classes import OF_LABEL, UNKNOWN
from spinalroots.hardnet.anatomy.limits import Limits
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.sampling import Samples


def augmented(
    samples: Samples,
    limits: Limits,
    generator: torch.Generator,
    *,
    offsets: torch.Tensor,
    size: int,
    voxel_mm: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Network inputs (B, C, S, S) float32 and classes (B, S, S) long of samples, changed.

    :param offsets: (C,) distances in slices of the channels from the middle one.
    :param size: edge S in voxels, smaller than the samples' own.
    """
    batch, middle = len(samples.image), samples.image.shape[1] // 2
    colours = contrast.draw_colours(limits, generator, batch)
    image = contrast.recoloured(samples.image, samples.anatomy, samples.roots, colours)
    where = geometry.draw_map(limits, generator, batch, size, voxel_mm)
    image = geometry.bent(image, where, voxel_mm)
    labels = geometry.bent_labels(samples.anatomy[:, middle], where, voxel_mm)
    inside = geometry.bent(samples.inside.float(), where, voxel_mm) > 0.5
    inside = inside & geometry.draw_field(limits, generator, batch, size, voxel_mm)
    image = greys.spoiled(limits, generator, image, offsets, voxel_mm)
    classes = torch.from_numpy(OF_LABEL).long()[labels]
    classes = torch.where(inside[:, 0], classes, UNKNOWN)
    return normalised(image, inside, voxel_mm), classes
