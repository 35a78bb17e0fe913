"""Changes of a patch while training, drawn and applied by `spinalroots.augment.transforms`.

Definitions and limits are those of the offline augmentation; only the cheapest are used: grey
values and the mirror. The spine as a whole was bent offline; a cubic resampling of every patch
would cost more than the network's step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spinalroots.augment.transforms import apply_arrays, draw, mirror

if TYPE_CHECKING:
    from spinalroots.settings.augment import Transforms

LIGHT = ("flip", "gamma", "noise")
"""What happens to a patch: of the transforms, what is done voxel by voxel. Bias field and
blur would add a tenth to the time of a training step; six epochs with them ended no better."""


def augmented(
    limits: Transforms,
    rng: np.random.Generator,
    image: np.ndarray,
    maps: list[np.ndarray],
    spacing_mm: tuple[float, float, float],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A patch changed within `limits`: image (X, Y, Z) float32 and maps (X, Y[, Z]) of labels.

    The maps show levels, the entity or its skeleton: they do not know left from right, so a
    mirrored patch keeps its labels. Voxels of exactly 0 are padding and stay.
    """
    plan = draw(limits, rng, LIGHT)
    changed, _ = apply_arrays(plan, image, {}, spacing_mm)
    padding = image
    if "flip" in plan:
        padding = image[::-1]
        maps = [mirror(one, {})[0] for one in maps]
    return np.where(padding == 0, 0, changed).astype(np.float32), maps
