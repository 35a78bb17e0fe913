"""What scanners do to grey values: curves, coil slopes, blur, coarse voxels, noise.

Each step takes samples (B, C, S, S), CSF at about 1, and draws for every sample anew.
"""

import torch
from torch.nn import functional

from spinalroots.hardnet.anatomy.draws import chosen, normal, uniform
from spinalroots.hardnet.anatomy.geometry import plane
from spinalroots.settings.anatomy import Limits

FIELD_MM = 18.0
"""Distance over which the slopes of the field are given."""
KNOTS = 6
BRIGHTEST = 1.2
"""Grey value at which a random curve ends; what is brighter follows its end."""
FINEST, COARSEST = 0.95, 0.5
"""Resolution left in a sample that is made coarse."""
_REACH = 2  # voxels of the blur on either side


def spoiled(
    limits: Limits,
    generator: torch.Generator,
    image: torch.Tensor,
    offsets: torch.Tensor,
    voxel_mm: float,
) -> torch.Tensor:
    """All of it, in the order of a scanner; `offsets` (C,): slices from the middle one."""
    image = image.clamp(min=1e-4) ** draw_exponent(limits, generator, len(image))
    mixed = 0.5 * image + 0.5 * curved(image, draw_curves(generator, len(image)))
    image = _where(chosen(generator, limits.curve_share, len(image)), mixed, image)
    image = image * draw_bias(limits, generator, image.shape, offsets, voxel_mm)
    sigmas = uniform(generator, 0, limits.blur_vox, len(image))
    rows = chosen(generator, limits.blur_share, len(image)).nonzero().flatten()
    image = image.index_copy(0, rows, blurred(image[rows], sigmas[rows]))
    rows = chosen(generator, limits.low_resolution_share, len(image)).nonzero().flatten()
    share = float(uniform(generator, COARSEST, FINEST, 1))
    image = image.index_copy(0, rows, coarse(image[rows], share))
    for row in chosen(generator, limits.thick_share, len(image)).nonzero().flatten():
        axis = 2 + int(chosen(generator, limits.coronal_share, 1))
        thick_mm = float(uniform(generator, *limits.thick_mm, 1))
        image[row] = sliced(image[row : row + 1], axis, thick_mm / voxel_mm)[0]
    return (image + draw_noise(limits, generator, image.shape)).abs()


def draw_exponent(limits: Limits, generator: torch.Generator, batch: int) -> torch.Tensor:
    """(B, 1, 1, 1), around 1."""
    return uniform(generator, -limits.gamma_log, limits.gamma_log, batch, 1, 1, 1).exp()


def draw_curves(generator: torch.Generator, batch: int) -> torch.Tensor:
    """Values (B, KNOTS) of monotone curves from 0 to 1 at even steps."""
    steps = -torch.log(uniform(generator, 1e-4, 1, batch, KNOTS - 1))
    curve = functional.pad(steps.cumsum(dim=1), (1, 0))
    return curve / curve[:, -1:]


def curved(image: torch.Tensor, curves: torch.Tensor) -> torch.Tensor:
    """Grey values sent through piecewise linear curves over 0..BRIGHTEST."""
    place = image.clamp(0, BRIGHTEST) / BRIGHTEST * (KNOTS - 1)
    low = place.floor().clamp(max=KNOTS - 2)
    index, share = low.long().flatten(1), (place - low).flatten(1)
    values = curves.gather(1, index) * (1 - share) + curves.gather(1, index + 1) * share
    return values.view_as(image)


def draw_bias(
    limits: Limits,
    generator: torch.Generator,
    shape: torch.Size,
    offsets: torch.Tensor,
    voxel_mm: float,
) -> torch.Tensor:
    """A smooth positive field (B, C, S, S): slopes and bends in plane, a slope along."""
    u, v = (axis / FIELD_MM for axis in plane(shape[-1], voxel_mm))
    terms = torch.stack(
        [u + 0 * v, v + 0 * u, 0.4 * u * u + 0 * v, 0.4 * v * v + 0 * u, 0.4 * u * v]
    )
    slopes = limits.bias * normal(generator, shape[0], len(terms))
    along = 0.6 * limits.bias * normal(generator, shape[0], 1) * offsets / 16
    field = torch.einsum("bt,tuv->buv", slopes, terms)
    return torch.exp(field[:, None] + along[:, :, None, None])


def blurred(image: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Gaussian blur in plane, `sigmas` (B,) in voxels."""
    if len(image) == 0:
        return image
    steps = torch.arange(-_REACH, _REACH + 1.0)
    kernel = torch.exp(-0.5 * (steps / sigmas.clamp(min=0.05)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(image.shape[1], 0)
    flat = image.reshape(1, -1, *image.shape[2:])
    flat = functional.pad(flat, (_REACH,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
    return functional.conv2d(flat, kernel[:, None, None, :], groups=len(kernel)).view_as(image)


def coarse(image: torch.Tensor, share: float) -> torch.Tensor:
    """As if scanned with `share` of the voxels along each side."""
    if len(image) == 0:
        return image
    few = max(1, round(image.shape[-1] * share))
    small = functional.interpolate(image, size=(few, few), mode="bilinear", antialias=True)
    return functional.interpolate(small, size=image.shape[2:], mode="bilinear")


def sliced(image: torch.Tensor, axis: int, thick_vox: float) -> torch.Tensor:
    """As if scanned in slices across `axis`, 2 or 3, each the mean of what lies in it."""
    size = list(image.shape[2:])
    size[axis - 2] = max(1, round(size[axis - 2] / thick_vox))
    means = functional.interpolate(image, size=size, mode="area")
    return functional.interpolate(means, size=image.shape[2:], mode="bilinear")


def draw_noise(limits: Limits, generator: torch.Generator, shape: torch.Size) -> torch.Tensor:
    """White noise, or of the same spread but as smooth as interpolated scans have it."""
    noise = normal(generator, *shape)
    smooth = functional.avg_pool2d(noise, 3, stride=1, padding=1) * 3
    noise = _where(chosen(generator, 0.5, shape[0]), smooth, noise)
    return noise * uniform(generator, 0, limits.noise, shape[0], 1, 1, 1)


def _where(rows: torch.Tensor, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
    return torch.where(rows[:, None, None, None], yes, no)
