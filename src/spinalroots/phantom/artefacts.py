"""What the scanner does to a clean image: draw the faults, then apply them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d


@dataclass(frozen=True)
class Faults:
    """Drawn faults of one scan. Axes are RAS+ axes of the grid."""

    noise: float
    """Spread of the Rician noise over CSF's signal."""
    bias: tuple[float, ...]
    """Slopes of the log bias field along x, y, z and the square of z."""
    coil: float
    """How much brighter the back is than the front (surface coil)."""
    phase_axis: int
    ghost_strength: float
    ghost_shift: float
    """Distance of a ghost as a share of the field of view."""
    bandwidth: tuple[float, float, float]
    """Share of the spatial frequencies that was sampled along each axis; less rings more."""
    slice_axis: int
    slice_blur_vox: float
    scale: float
    """Stored value of CSF."""
    noise_seed: int
    along: tuple[float, ...] = (1.0,)
    """Signal at even steps from the lowest slice to the highest: end of the coil, inflow."""
    spread_vox: float = 0.0
    """Point spread in the slice's plane, of signal and noise alike: standard deviation."""


def draw_faults(rng: np.random.Generator, slice_axis: int, noise: tuple[float, float]) -> Faults:
    """Faults within what a usable clinical scan shows; `noise`: range of the noise's spread."""
    phase = 1 if slice_axis == 2 else int(rng.integers(1, 3))
    band = [float(rng.uniform(0.78, 1.0)) for _ in range(3)]
    band[slice_axis] = 1.0
    return Faults(
        noise=float(rng.uniform(*noise)),
        bias=tuple(float(rng.normal(0, spread)) for spread in (0.06, 0.05, 0.15, 0.15)),
        coil=float(rng.uniform(0.05, 0.4)),
        phase_axis=phase,
        ghost_strength=float(rng.uniform(0.0, 0.05)),
        ghost_shift=float(rng.uniform(0.12, 0.35)),
        bandwidth=tuple(band),
        slice_axis=slice_axis,
        slice_blur_vox=float(rng.uniform(0.25, 0.45)),
        scale=float(rng.uniform(350, 900)),
        noise_seed=int(rng.integers(2**31)),
    )


def draw_wide_faults(
    rng: np.random.Generator, slice_axis: int, noise: tuple[float, float]
) -> Faults:
    """Faults of any scan that is still read: steeper coil slopes, more noise, a wider point spread.

    `noise` is its spread before the point spread, which about halves it. Along the spine CSF's
    lowest over highest value is 0.08–0.76 in real scans.
    """
    common = draw_faults(rng, slice_axis, noise)
    fall = np.log(rng.uniform(0.25, 1.0)) * rng.permutation([0.0, rng.random(), 1.0])
    along = np.exp(fall + rng.normal(0, 0.08, 3))
    band = [float(rng.uniform(0.5, 1.0)) for _ in range(3)]
    band[slice_axis] = 1.0
    return replace(
        common,
        bias=tuple(float(rng.normal(0, spread)) for spread in (0.2, 0.15, 0.15, 0.15)),
        coil=float(rng.uniform(0.0, 0.7)),
        bandwidth=tuple(band),
        slice_blur_vox=float(rng.uniform(0.25, 0.6)),
        along=tuple(float(value) for value in along / along.max()),
        spread_vox=float(rng.uniform(0.25, 0.75)),
    )


def apply_faults(clean: np.ndarray, faults: Faults) -> np.ndarray:
    """The scan (X, Y, Z), int16, that a clean signal (CSF = 1) becomes."""
    image = gaussian_filter1d(clean, faults.slice_blur_vox, axis=faults.slice_axis)
    image = image * _bias(image.shape, faults)
    image = _ghost(image, faults)
    for axis, share in enumerate(faults.bandwidth):
        image = _truncate(image, axis, share)
    rng = np.random.default_rng(faults.noise_seed)
    real = image + faults.noise * rng.standard_normal(image.shape, np.float32)
    other = faults.noise * rng.standard_normal(image.shape, np.float32)
    if faults.spread_vox:
        widths = [faults.spread_vox * (axis != faults.slice_axis) for axis in range(3)]
        real, other = (gaussian_filter(part, widths, truncate=3.0) for part in (real, other))
    return np.clip(np.round(faults.scale * np.hypot(real, other)), 0, 32767).astype(np.int16)


def _bias(shape: tuple[int, ...], faults: Faults) -> np.ndarray:
    x, y, z = (np.linspace(-1, 1, n) for n in shape)
    slopes = faults.bias
    steps = np.linspace(-1, 1, len(faults.along))
    along = np.exp(slopes[2] * z + slopes[3] * z * z) * np.interp(z, steps, faults.along)
    front = np.exp(slopes[1] * y - faults.coil * (y + 0.3))
    plane = np.multiply.outer(np.exp(slopes[0] * x), front)
    return np.multiply.outer(plane.astype(np.float32), along.astype(np.float32))


def _ghost(image: np.ndarray, faults: Faults) -> np.ndarray:
    """Breathing: weak copies on both sides along the phase direction."""
    shift = round(faults.ghost_shift * image.shape[faults.phase_axis])
    copies = np.roll(image, shift, faults.phase_axis) + np.roll(image, -shift, faults.phase_axis)
    return image + faults.ghost_strength * (copies - image)


def _truncate(image: np.ndarray, axis: int, share: float) -> np.ndarray:
    """Gibbs ringing: frequencies above `share` of the highest are missing."""
    if share >= 1:
        return image
    count = image.shape[axis]
    spectrum = np.fft.rfft(image, axis=axis)
    keep = np.fft.rfftfreq(count) <= 0.5 * share
    shape = [1] * image.ndim
    shape[axis] = len(keep)
    return np.fft.irfft(spectrum * keep.reshape(shape), n=count, axis=axis).astype(np.float32)
