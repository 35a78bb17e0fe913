"""Grey values on a scale of the sample's own: its core's percentiles become 0 and 1.

A sample is a square with its neighbours along the axis, so the reference runs along the spine with
it: CSF that fades from one end of a scan to the other looks the same everywhere. The very same
function serves training, after all changes on the fly, and prediction.
"""

import torch

from spinalroots.hardnet.data.straighten import GreyValues

RULE = GreyValues()


def normalised(image: torch.Tensor, inside: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Samples (B, C, S, S) scaled and clipped; 0 where `inside` (B, 1, S, S) says padding.

    A sample whose core shows a single grey value, or nothing, becomes 0.
    """
    core = _core(image.shape[-1], voxel_mm)
    seen = inside.expand_as(image)[..., core].flatten(1)
    values = torch.where(seen, image[..., core].flatten(1), torch.inf).sort(dim=1).values
    last = (seen.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    low, high = (
        values.gather(1, (last * (percentile / 100)).long())[..., None, None]
        for percentile in RULE.percentiles
    )
    known = inside & (high > low) & high.isfinite()
    scaled = (image - low) / torch.where(known, high - low, 1)
    return torch.where(known, scaled.clamp(*RULE.limits), 0)


def _core(size: int, voxel_mm: float) -> torch.Tensor:
    """(S, S) bool: voxels within `RULE.core_mm` of the middle."""
    offset = (torch.arange(size) - (size - 1) / 2) * voxel_mm
    return offset[:, None] ** 2 + offset[None, :] ** 2 <= RULE.core_mm**2
