"""One person: every anatomical number of a phantom, drawn once from the published spreads."""

from dataclasses import dataclass, replace

import numpy as np

from spinalroots.phantom import norms
from spinalroots.phantom.variety import TEXTBOOK, Variety
from spinalroots.registry.anatomy import ROOTS, Root, Type
from spinalroots.registry.vertebrae import DISC_HEIGHT_MM


@dataclass(frozen=True)
class Subject:
    """Drawn anatomy. Heights in mm along the sac, downwards from the disc T9/T10."""

    size: float
    """Body size: scales every length along the spine."""
    discs_mm: dict[str, float]
    """Height of the disc below each vertebra."""
    segments_mm: dict[str, tuple[float, float]]
    """Upper and lower end of each cord segment."""
    conus_tip_mm: float
    sac_end_mm: float
    cord_width: float
    """Scale of the cord's diameters over PAM50's."""
    sac_width: float
    exits_mm: dict[str, float]
    """Height at which each level's roots leave the sac."""
    diameters_mm: dict[Root, float]
    tilt_deg: tuple[float, ...]
    """Sagittal tilt of the curve at `TILT_VERTEBRAE`; positive: forwards on the way down."""
    scoliosis: tuple[tuple[float, float, float], ...]
    """Lateral waves: amplitude in mm, wavelength in mm, phase."""
    degeneration: dict[str, float]
    """How dark each disc is, 0 (young) to 1."""
    waviness_mm: float
    """How far a root wanders from the shortest way, and how unequal left and right are."""
    variety: Variety = TEXTBOOK
    """Shape and packing; left as in the textbook by :func:`draw_subject`."""

    @property
    def lordosis_deg(self) -> float:
        """Angle between the curve at T12/L1 and at L5/S1."""
        return self.tilt_deg[2] - self.tilt_deg[4]

    @property
    def last_lumbar(self) -> str:
        """The vertebra above the sacrum, numbered from above: L5, unless there are four or six."""
        return {4: "L4", 5: "L5", 6: "S1"}[self.variety.lumbar]

    @property
    def tilt_heights_mm(self) -> list[float]:
        """Heights (7,) at which `tilt_deg` is given: the sacrum's bend goes with the sacrum."""
        names = list(self.discs_mm)
        lumbar = TILT_VERTEBRAE.index("L3")
        moved = {name: name for name in TILT_VERTEBRAE[:lumbar]}
        for name in TILT_VERTEBRAE[lumbar:]:
            place = names.index(name) + self.variety.lumbar - 5
            moved[name] = names[min(place, len(names) - 1)]
        return [self.discs_mm[name] for name in moved.values()]

    @property
    def conus_vertebra(self) -> str:
        """Vertebra (or the disc below it) at the height of the conus tip."""
        return next(name for name, disc in self.discs_mm.items() if disc >= self.conus_tip_mm)


TILT_VERTEBRAE = ("T8", "T10", "T12", "L3", "L5", "S1", "S3")
"""The curve's tilt is given at the discs below these vertebrae."""

_TILT_DEG = (10.0, 9.0, 12.0, 1.0, -24.0, -36.0, -52.0)
"""Mean tilt: derived from the real lumbar scan in the docs and a supine lordosis of 35–50°."""


SHORTEST_ROOT_MM = 5.0
"""No root leaves the sac closer than this below its segment."""

FURTHEST_EXIT_MM = {"T9": 8.7, "T10": 8.7}
"""Nor these further below it: a root of T10 runs under 1 cm inside the sac, in a person with a low
conus, too. Derived: the vertebra of its number lies beside its segment."""


def draw_subject(rng: np.random.Generator) -> Subject:
    """A person. Left and right roots are drawn from the same distribution, apart."""
    size = float(np.clip(rng.normal(1.0, 0.035), 0.92, 1.08))
    discs = {name: size * value for name, value in DISC_HEIGHT_MM.items()}
    tip = size * _clipped(rng, norms.CONUS_TIP_MM, norms.CONUS_TIP_RANGE_MM)
    sac_end = size * _clipped(rng, norms.SAC_END_MM, norms.SAC_END_RANGE_MM)
    lordosis = rng.normal(1.0, 0.14)
    lean = rng.normal(0.0, 1.5)
    tilts = tuple(float(lean + lordosis * tilt + rng.normal(0, 1.0)) for tilt in _TILT_DEG)
    waves = tuple(
        (float(rng.normal(0, spread)), float(rng.uniform(*wave)), float(rng.uniform(0, 2 * np.pi)))
        for spread, wave in ((1.8, (350, 500)), (0.8, (180, 260)))
    )
    segments = _segments(rng, tip, size)
    return Subject(
        size=size,
        discs_mm=discs,
        segments_mm=segments,
        conus_tip_mm=float(tip),
        sac_end_mm=float(sac_end),
        cord_width=float(np.clip(rng.normal(1.04, 0.06), 0.9, 1.2)),
        sac_width=float(np.clip(rng.normal(1.0, 0.045), 0.91, 1.09)),
        exits_mm=_exits(rng, size, sac_end, segments),
        diameters_mm=_diameters(rng),
        tilt_deg=tilts,
        scoliosis=waves,
        degeneration={name: float(rng.beta(1.3, 2.5)) for name in discs},
        waviness_mm=float(rng.uniform(0.2, 0.5)),
    )


def with_conus(subject: Subject, tip_mm: float, rng: np.random.Generator) -> Subject:
    """The same person with the tip of the cord at `tip_mm`: segments and exits go with it."""
    segments = _segments(rng, tip_mm, subject.size)
    exits = _exits(rng, subject.size, subject.sac_end_mm, segments)
    return replace(subject, conus_tip_mm=float(tip_mm), segments_mm=segments, exits_mm=exits)


def _clipped(rng: np.random.Generator, mean_spread: tuple, limits: tuple) -> float:
    return float(np.clip(rng.normal(*mean_spread), *limits))


def _segments(rng: np.random.Generator, tip: float, size: float) -> dict[str, tuple[float, float]]:
    """Segments stacked upwards from the conus tip.

    A low conus belongs to a cord that is longer as well as lower: the part of the shift that a
    segment takes falls from all of it at the tip to a fifth at T10.
    """
    edges, lower = {}, size * norms.CONUS_TIP_MM[0]
    for level, length in reversed(norms.SEGMENT_LENGTH_MM.items()):
        upper = lower - size * length * np.clip(rng.normal(1.0, 0.03), 0.93, 1.07)
        edges[level] = (upper, lower)
        lower = upper
    mean_tip, anchor = size * norms.CONUS_TIP_MM[0], edges["T10"][1]

    def moved(height: float) -> float:
        share = 0.2 + 0.8 * np.clip((height - anchor) / (mean_tip - anchor), 0, 1)
        return float(height + share * (tip - mean_tip))

    return {
        level: (moved(upper), moved(lower)) for level, (upper, lower) in reversed(edges.items())
    }


def _exits(
    rng: np.random.Generator, size: float, sac_end: float, segments: dict
) -> dict[str, float]:
    """Exits from the sac: never below its end or above the root, lower for a lower level."""
    exits, last = {}, -np.inf
    room = {"S1": 24.0, "S2": 16.0, "S3": 9.0, "S4": 5.0}
    for level, height in norms.ROOT_EXIT_MM.items():
        drawn = size * height + np.clip(rng.normal(0, 1.0), -2, 2)
        drawn = min(drawn, sac_end - room.get(level, 30.0))
        above = segments[level][1]
        drawn = min(drawn, above + FURTHEST_EXIT_MM.get(level, np.inf))
        exits[level] = float(max(drawn, last + 3.0, above + SHORTEST_ROOT_MM))
        last = exits[level]
    return exits


def _diameters(rng: np.random.Generator) -> dict[Root, float]:
    """A factor of the person, one of the level, and a small one of the root."""
    person = rng.normal(1.0, 0.06)
    diameters = {}
    levels = {level: rng.normal(0, 0.06) for level in norms.SIMULATED_LEVELS}
    for root in ROOTS:
        if root.level in levels:
            dorsal = root.type is Type.DORSAL
            mean = (norms.DORSAL_DIAMETER_MM if dorsal else norms.VENTRAL_DIAMETER_MM)[root.level]
            factor = person + levels[root.level] + rng.normal(0, 0.06)
            spread = 2 * norms.ROOT_DIAMETER_SPREAD
            diameters[root] = float(mean * np.clip(factor, 1 - spread, 1 + spread))
    return diameters
