"""Cheap changes of a patch while training: a mirror and grey values.

The data set itself is augmented in space beforehand (`spinalroots.augment`); this only keeps the
network from learning the grey values of the few scans by heart, at a cost of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LightPlan:
    """What happens to a patch: all numbers drawn, nothing left to chance."""

    mirror: bool
    scale: float
    shift: float
    gamma: float
    slope: tuple[float, float, float]
    noise: float
    noise_seed: int


def draw_light(rng: np.random.Generator) -> LightPlan:
    """Draw a plan: half of the patches mirrored, grey values moved by a tenth or two."""
    return LightPlan(
        mirror=bool(rng.random() < 0.5),
        scale=float(rng.uniform(0.8, 1.2)),
        shift=float(rng.uniform(-0.1, 0.1)),
        gamma=float(np.exp(rng.uniform(-0.25, 0.25))),
        slope=tuple(float(value) for value in rng.uniform(-0.15, 0.15, 3)),
        noise=float(max(0.0, rng.uniform(-0.05, 0.06))),
        noise_seed=int(rng.integers(2**31)),
    )


def apply_light(
    plan: LightPlan, arrays: list[np.ndarray], in_plane: tuple[int, int]
) -> list[np.ndarray]:
    """The patch changed: `arrays` are the image and then label maps, all mirrored alike.

    A level map and an entity mask do not know left from right, so their labels stay. `in_plane`:
    axes (right, front) of the arrays counted from the end. Voxels of exactly 0 are padding
    and stay.
    """
    if plan.mirror:
        arrays = [np.flip(array, in_plane[0]) for array in arrays]
    image = arrays[0]
    changed = np.sign(image) * np.abs(image) ** plan.gamma * plan.scale + plan.shift
    for axis, slope in zip((-3, -2, -1), plan.slope, strict=True):
        ramp = np.linspace(-1, 1, image.shape[axis], dtype=np.float32) * slope
        changed = changed * (1 + ramp.reshape([-1 if a == axis else 1 for a in (-3, -2, -1)]))
    if plan.noise:
        noise = np.random.default_rng(plan.noise_seed).standard_normal(image.shape, np.float32)
        changed = changed + plan.noise * noise
    return [np.where(image == 0, 0, changed).astype(np.float32), *arrays[1:]]
