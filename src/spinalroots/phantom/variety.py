"""How a patient leaves the textbook: shape of the sac, packing of the roots, blunt conus.

`TEXTBOOK` is what a physical phantom has; :func:`draw_variety` widens it on purpose, beyond the
published spreads, so that what learns from phantoms has seen more than a patient can show. Ranges
without a source are derived by eye from real lumbar scans.
"""

from dataclasses import dataclass

import numpy as np

DISC_SPACING_MM = 32.0
"""A sac changes its shape from vertebra to disc and back: about this often."""


@dataclass(frozen=True)
class Harmonic:
    """One way in which the sac's outline leaves an ellipse: radius × (1 + c · cos or sin(n φ)).

    φ runs from the patient's right over the front. Along the sac the coefficient c is `mean` plus
    a wave of `swing` once per vertebra, shifted by `phase`.
    """

    order: int
    sine: bool
    mean: float
    swing: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Narrowing:
    """A disc that bulges into the sac: at height `s_mm`, over `length_mm`, taking a `share` of the
    width and of the depth; negative where the sac is wider."""

    s_mm: float
    length_mm: float
    share: tuple[float, float]


@dataclass(frozen=True)
class Packing:
    """How the roots lie in the sac.

    `gap_mm`: least room between roots, and to cord and dura; negative: they are pressed together.
    `sink`: 0 spread over the sac's back half, 1 on its dorsal wall. `level`: 0 each keeps its
    distance from the midline, 1 they fill the sac from its back like sand. `clump`: 0 each on its
    own, 1 `bundle` neighbouring levels at one place. `hug`: 0 the roots leave the conus for the
    wall, 1 they stay at it.
    """

    gap_mm: float = 0.25
    sink: float = 0.0
    level: float = 0.0
    clump: float = 0.0
    bundle: int = 3
    hug: float = 0.0


@dataclass(frozen=True)
class Sleeve:
    """CSF that goes with every root beyond the sac: `length_mm` far, `rim_mm` wide about the root,
    thinner towards its end."""

    length_mm: float
    rim_mm: float


@dataclass(frozen=True)
class Variety:
    """`blunt`: 0 a conus of published thickness, 1 as thick as the lumbar enlargement down to near
    its tip. `lumbar`: how many vertebrae look lumbar; all are numbered from above, whatever they
    look like, so that of six the last is called S1."""

    outline: tuple[Harmonic, ...] = ()
    narrowings: tuple[Narrowing, ...] = ()
    packing: Packing = Packing()
    blunt: float = 0.0
    sleeve: Sleeve | None = None
    lumbar: int = 5


TEXTBOOK = Variety()


def draw_variety(rng: np.random.Generator, discs_mm: dict[str, float]) -> Variety:
    """A patient's variety; `discs_mm`: heights of the discs below the vertebrae."""

    def wave(order: int, sine: bool, low: float, high: float, swing: float) -> Harmonic:
        return Harmonic(
            order,
            sine,
            float(rng.uniform(low, high)),
            float(rng.uniform(0, swing)),
            float(rng.uniform(0, 2 * np.pi)),
        )

    outline = (
        wave(1, True, -0.06, 0.06, 0.03),  # egg
        wave(2, False, -0.05, 0.14, 0.05),  # oval
        wave(3, True, -0.04, 0.19, 0.05),  # triangle: flat in front, narrow behind
        wave(4, False, -0.04, 0.05, 0.03),  # box or diamond
        wave(5, True, -0.04, 0.04, 0.02),  # heart
        wave(1, False, -0.04, 0.04, 0.02),  # askew
        wave(2, True, -0.04, 0.04, 0.02),
    )
    bulging = rng.choice(
        ["L1", "L2", "L3", "L4", "L5"], size=int(rng.integers(0, 4)), replace=False
    )
    narrowings = tuple(
        Narrowing(
            discs_mm[str(name)],
            float(rng.uniform(5.0, 10.0)),
            (float(rng.uniform(-0.1, 0.3)), float(rng.uniform(0.0, 0.35))),
        )
        for name in bulging
    )
    packing = Packing(
        gap_mm=float(rng.uniform(-0.55, 0.2)),
        sink=float(rng.beta(1.6, 0.6)),
        level=float(rng.beta(1.0, 0.7)),
        clump=float(rng.uniform(0.0, 0.8)),
        bundle=int(rng.integers(2, 5)),
        hug=float(rng.uniform(0.2, 1.0)),
    )
    return Variety(outline, narrowings, packing, float(rng.uniform(0.1, 0.75)))
