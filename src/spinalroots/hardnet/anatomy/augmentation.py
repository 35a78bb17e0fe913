"""From samples of the phantoms to what the networks see: all changes on the fly, in batches."""

import torch
from torch.nn import functional

from spinalroots.hardnet.anatomy import contrast, geometry, greys
from spinalroots.hardnet.anatomy.classes import (
    CSF_LABEL,
    OF_LABEL,
    ROOT_LABEL,
    UNKNOWN,
    WHITE_MATTER_LABEL,
)
from spinalroots.hardnet.anatomy.draws import chosen, normal, uniform
from spinalroots.hardnet.anatomy.naming import Names, names_of
from spinalroots.hardnet.anatomy.network import maps
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.positions import encoded, planes
from spinalroots.hardnet.anatomy.sampling import Samples, neighbour_offsets
from spinalroots.settings.anatomy import Anatomy, Limits


def tissue_batch(
    samples: Samples, settings: Anatomy, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Slices (B, C, S, S) float32 and the middle one's classes (B, S, S) long."""
    limits, size, voxel_mm = settings.limits, settings.sample_size_vox, settings.voxel_mm
    batch, middle = len(samples.image), samples.image.shape[1] // 2
    colours = contrast.draw_colours(limits, generator, batch)
    image = contrast.recoloured(samples.image, samples.anatomy, samples.roots, colours)
    where = geometry.draw_map(limits, generator, batch, size, voxel_mm)
    image = geometry.bent(image, where, voxel_mm)
    labels = geometry.bent_labels(samples.anatomy[:, middle], where, voxel_mm)
    inside = geometry.bent(samples.inside.float(), where, voxel_mm) > 0.5
    inside = inside & geometry.draw_field(limits, generator, batch, size, voxel_mm)
    offsets = torch.from_numpy(neighbour_offsets(settings.neighbours))
    image = greys.spoiled(limits, generator, image, offsets, voxel_mm)
    classes = torch.from_numpy(OF_LABEL).long()[labels]
    return normalised(image, inside, voxel_mm), torch.where(inside[:, 0], classes, UNKNOWN)


def naming_batch(
    samples: Samples, settings: Anatomy, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, Names]:
    """Maps (B, C, S, S), codes (B, CODES) and the middle slice's names (B, S, S)."""
    limits, voxel_mm = settings.naming_limits, settings.voxel_mm
    size = settings.naming_size_vox
    batch, middle = len(samples.image), samples.image.shape[1] // 2
    where = geometry.draw_map(limits, generator, batch, size, voxel_mm)
    anatomy, individuals = samples.anatomy, samples.roots
    root, cord = anatomy == ROOT_LABEL, anatomy == WHITE_MATTER_LABEL
    sac = cord | root | (anatomy == CSF_LABEL)
    root = root & ~draw_lost(limits, generator, individuals)
    stacked = torch.cat([root.float(), 0.5 * (sac.float() + cord.float())], dim=1)
    root, depth = geometry.bent(stacked, where, voxel_mm).chunk(2, dim=1)
    labels = geometry.bent_labels(anatomy[:, middle], where, voxel_mm)
    roots = geometry.nearest(individuals[:, middle], where, voxel_mm)
    known = draw_coordinates(limits, generator, samples.coordinates)
    return (
        maps(draw_seen(limits, generator, root), depth, planes(known)),
        encoded(known),
        names_of(torch.where(labels == ROOT_LABEL, roots, 0), geometry.mirrored(where)),
    )


def draw_lost(
    limits: Limits, generator: torch.Generator, individuals: torch.Tensor
) -> torch.Tensor:
    """Voxels (B, C, S, S) bool of roots that another network would miss as a whole."""
    batch = len(individuals)
    share = uniform(generator, 0, limits.lost_roots, batch, 1)
    lost = torch.rand(batch, 256, generator=generator) < share
    lost[:, 0] = False
    return lost.gather(1, individuals.flatten(1).long()).view_as(individuals)


def draw_seen(limits: Limits, generator: torch.Generator, root: torch.Tensor) -> torch.Tensor:
    """Chances (B, C, S, S) as another network would give them: thicker, thinner, with gaps."""
    shape = (len(root), 1, 1, 1)
    edge = uniform(generator, *limits.root_edge, *shape)
    steep = uniform(generator, 3, 12, *shape)
    spread = uniform(generator, 0, limits.root_noise, *shape)
    noise = torch.randn(root.shape, generator=generator)
    noise = functional.avg_pool2d(noise, 3, stride=1, padding=1) * spread
    return torch.sigmoid((root + noise * (root > 0.05) - edge) * steep) * (root > 0.02)


def draw_coordinates(
    limits: Limits, generator: torch.Generator, coordinates: torch.Tensor
) -> torch.Tensor:
    """Coordinates (B, 3) as a prediction will know them: not to the millimetre, and not always."""
    batch = len(coordinates)
    thin, tip, place = coordinates.unbind(1)
    error = limits.height_mm * normal(generator, batch)
    thin, tip = thin + error, tip + error + limits.height_mm * normal(generator, batch)
    place = place * (1 + limits.place_stretch * normal(generator, batch))
    place = place + limits.place * normal(generator, batch)
    without_cord = chosen(generator, limits.unknown_cord_share, batch)
    without_anchor = chosen(generator, limits.unknown_place_share, batch)
    return torch.stack(
        [
            thin.masked_fill(without_cord, torch.nan),
            tip.masked_fill(without_cord, torch.nan),
            place.masked_fill(without_anchor, torch.nan),
        ],
        dim=1,
    )
