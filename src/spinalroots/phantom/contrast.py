"""T2 signal of each tissue, as a share of CSF's, varying between subjects and protocols."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Contrast:
    """Signals; CSF is 1. `grain`: spread of the texture; `flow`: depth of the CSF's flow voids."""

    fat: float
    epidural_fat: float
    muscle: float
    organ: float
    marrow: float
    cortex: float
    ligament: float
    annulus: float
    nucleus: float
    white_matter: float
    grey_matter: float
    root: float
    grain: float
    flow: float
    roots: tuple[tuple[str, float], ...] = ()
    """Signal of single roots by name, over `root`; 1 for those not named."""


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Signals around those of the real lumbar scan in the docs.

    CSF brightest; fat bright (fast spin echo); cord intermediate with brighter grey matter; roots
    dark threads; discs as bright as marrow or brighter unless degenerated; cortex, ligament black.
    """
    marrow = float(rng.uniform(0.28, 0.46))
    white = float(rng.uniform(0.36, 0.48))
    return Contrast(
        fat=float(rng.uniform(0.7, 0.95)),
        epidural_fat=float(rng.uniform(0.6, 0.85)),
        muscle=float(rng.uniform(0.09, 0.16)),
        organ=float(rng.uniform(0.12, 0.25)),
        marrow=marrow,
        cortex=float(rng.uniform(0.02, 0.05)),
        ligament=float(rng.uniform(0.03, 0.08)),
        annulus=float(rng.uniform(0.06, 0.12)),
        nucleus=marrow * float(rng.uniform(1.4, 2.1)),
        white_matter=white,
        grey_matter=white * float(rng.uniform(1.08, 1.22)),
        root=float(rng.uniform(0.25, 0.38)),
        grain=float(rng.uniform(0.06, 0.11)),
        flow=float(rng.uniform(0.1, 0.5)),
    )


def draw_wide_contrast(rng: np.random.Generator, roots: Iterable[str]) -> Contrast:
    """Signals wider than any one protocol's: spin echo, gradient echo, dark fat.

    Measured on real scans: root 0.36–0.82 of CSF, cord 0.22–0.79, either may be the darker one.
    """
    root = float(rng.uniform(0.15, 0.8))
    white = float(rng.uniform(0.18, 0.85))
    marrow = float(rng.uniform(0.12, 0.8))
    dark_fat = rng.random() < 0.2
    spread = rng.uniform(0.0, 0.25)
    return Contrast(
        fat=float(rng.uniform(0.05, 0.3) if dark_fat else rng.uniform(0.4, 1.2)),
        epidural_fat=float(rng.uniform(0.05, 0.3) if dark_fat else rng.uniform(0.3, 1.15)),
        muscle=float(rng.uniform(0.05, 0.45)),
        organ=float(rng.uniform(0.08, 0.5)),
        marrow=marrow,
        cortex=float(rng.uniform(0.02, 0.12)),
        ligament=float(rng.uniform(0.03, 0.25)),
        annulus=float(rng.uniform(0.05, 0.4)),
        nucleus=float(rng.uniform(0.1, 0.95)),
        white_matter=white,
        grey_matter=min(white * float(rng.uniform(0.95, 1.25)), 0.95),
        root=root,
        grain=float(rng.uniform(0.03, 0.2)),
        flow=float(rng.uniform(0.0, 0.6)),
        roots=tuple(
            (name, float(np.clip(root * np.exp(rng.normal(0, spread)), 0.1, 0.88) / root))
            for name in roots
        ),
    )
