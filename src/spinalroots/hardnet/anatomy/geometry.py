"""Shapes and places that patients have and phantoms lack: one smooth map of the plane a sample.

A sample is cut from a larger square, so that turning and shifting brings no empty corners in.
Coordinates in mm from the middle: u to the right (first axis), v to the front (second axis).
"""

import torch
from torch.nn import functional

from spinalroots.hardnet.anatomy.classes import LABELS
from spinalroots.hardnet.anatomy.draws import chosen, normal, uniform
from spinalroots.settings.anatomy import Limits

REACH_MM = 9.0
"""Distance over which the taper is given: about the radius of a sac."""


def plane(size: int, voxel_mm: float) -> tuple[torch.Tensor, torch.Tensor]:
    """u (S, 1) and v (1, S) of the voxels' middles."""
    axis = (torch.arange(size) - (size - 1) / 2) * voxel_mm
    return axis[:, None], axis[None, :]


def draw_map(
    limits: Limits, generator: torch.Generator, batch: int, size: int, voxel_mm: float
) -> torch.Tensor:
    """Where each voxel of a sample comes from: (B, S, S, 2), u and v in mm.

    Mirror, turn, scale, shift; then narrower behind, the middle sunk back, and a random bend.
    """

    def drawn(low: float, high: float) -> torch.Tensor:
        return uniform(generator, low, high, batch)[:, None, None]

    u, v = plane(size, voxel_mm)
    angle = torch.deg2rad(drawn(-limits.rotation_deg, limits.rotation_deg))
    scale = drawn(-limits.scale_log, limits.scale_log).exp()
    wide = drawn(-limits.anisotropy_log, limits.anisotropy_log).exp()
    side = 1 - 2 * chosen(generator, 0.5, batch)[:, None, None].float()
    shift = limits.shift_vox * voxel_mm
    x = (u * angle.cos() - v * angle.sin()) * scale * wide * side + drawn(-shift, shift)
    y = (u * angle.sin() + v * angle.cos()) * scale / wide + drawn(-shift, shift)

    warped = chosen(generator, limits.warp_share, batch)[:, None, None].float()
    taper = drawn(*limits.taper) * warped
    x = x / (1 + taper * (y / REACH_MM).clamp(-1.2, 1.2)).clamp(0.45, 1.7)
    sink = drawn(0, limits.sink_mm) * warped
    y = y + sink * torch.exp(-(x**2 + y**2) / 6.0**2)
    spread = drawn(0, limits.elastic_vox * voxel_mm) * warped
    bend = normal(generator, batch, 2, 5, 5) * spread[:, None]
    bend = functional.interpolate(bend, size=(size, size), mode="bicubic", align_corners=True)
    return torch.stack([x + bend[:, 0], y + bend[:, 1]], dim=-1)


def bent(values: torch.Tensor, where: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Values (B, C, L, L) at the places `where` (B, S, S, 2): linear, 0 outside."""
    half = values.shape[-1] / 2 * voxel_mm
    return functional.grid_sample(
        values, where.flip(-1) / half, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def bent_labels(labels: torch.Tensor, where: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Anatomy (B, L, L) at the places: the value that fills most of a voxel, (B, S, S) long."""
    shares = functional.one_hot(labels.long(), LABELS).permute(0, 3, 1, 2).float()
    return bent(shares, where, voxel_mm).argmax(dim=1)


def nearest(labels: torch.Tensor, where: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Labels (B, L, L) at the places, each the nearest voxel's: (B, S, S) long."""
    half = labels.shape[-1] / 2 * voxel_mm
    found = functional.grid_sample(
        labels[:, None].float(), where.flip(-1) / half, mode="nearest", align_corners=False
    )
    return found[:, 0].round().long()


def mirrored(where: torch.Tensor) -> torch.Tensor:
    """Whether a map (B, S, S, 2) exchanges left and right, (B,) bool."""
    return where[:, -1, :, 0].mean(dim=1) < where[:, 0, :, 0].mean(dim=1)


def draw_field(
    limits: Limits, generator: torch.Generator, batch: int, size: int, voxel_mm: float
) -> torch.Tensor:
    """What the field of view shows (B, 1, S, S) bool: of some samples one side is missing."""
    u, v = plane(size, voxel_mm)
    cut = chosen(generator, limits.cut_share, batch)
    side = torch.randint(0, 4, (batch,), generator=generator)
    sign = (1 - 2 * (side % 2)).float()[:, None, None]
    across = (side < 2)[:, None, None]
    # Beside the sac's middle, and in front or behind only beyond it.
    end = uniform(generator, -1.0, 14.0, batch)[:, None, None] + 5.0 * ~across
    beyond = torch.where(across, u, v) * sign > end
    return ~(beyond & cut[:, None, None])[:, None]
