"""Cross-sections along the spine: cord, dural sac and filum as outlines that change with height."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from spinalroots.phantom import norms
from spinalroots.phantom.subject import Subject
from spinalroots.phantom.variety import DISC_SPACING_MM, Harmonic

FILUM_RADIUS_MM = (0.75, 0.4)
"""Filum terminale at the conus and at the end of the sac. Derived; the S5 and coccygeal roots,
which are not drawn, would lie around it."""

_CORD_OFFSET_MM = {"T8": 0.8, "T12": 0.3, "L2": -0.8, "L5": -1.8, "S2": -2.8, "S4": -3.6}
# The cord's centre relative to the sac's, to the front: it leaves the middle for the back wall in a
# person who lies on their back.

_Table = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ellipse:
    """Half axes `a` (left-right), `b` (antero-posterior) and centre `v` at each height, in mm.

    `outline`: how the radius leaves that of the ellipse, see :func:`_relative_radius`; each
    harmonic comes with its coefficient at each height.
    """

    a: np.ndarray
    b: np.ndarray
    v: np.ndarray
    outline: tuple[tuple[Harmonic, np.ndarray], ...] = ()

    def picked(self, pick: Callable[[np.ndarray], np.ndarray]) -> "Ellipse":
        """The cross-sections of the heights that `pick` takes out of an array."""
        outline = tuple((one, pick(value)) for one, value in self.outline)
        return Ellipse(pick(self.a), pick(self.b), pick(self.v), outline)

    def gauge(self, u: np.ndarray, v: np.ndarray, grow_mm=0.0, least_mm: float = 1e-3):
        """0 in the middle of the grown outline, 1 on it, growing in proportion along each ray."""
        p = u / np.maximum(self.a + grow_mm, least_mm)
        q = (v - self.v) / np.maximum(self.b + grow_mm, least_mm)
        level = np.sqrt(p * p + q * q) + 1e-6
        return level / _relative_radius(p, q, level, self.outline)

    def distance(self, u: np.ndarray, v: np.ndarray, grow_mm: float = 0.0) -> np.ndarray:
        """Approximate signed distance in mm (negative inside) of points to the grown ellipse.

        First order: exact on the boundary, which is where partial volume is decided.
        """
        a, b = np.maximum(self.a + grow_mm, 1e-3), np.maximum(self.b + grow_mm, 1e-3)
        p, q = u / a, (v - self.v) / b
        level = np.sqrt(p * p + q * q) + 1e-6
        slope = np.sqrt((p / a) ** 2 + (q / b) ** 2) / level + 1e-6
        return (level - _relative_radius(p, q, level, self.outline)) / slope


@dataclass(frozen=True)
class Sections:
    """Cross-sections of one subject as functions of the height s in mm."""

    subject: Subject

    def cord(self, s: np.ndarray) -> Ellipse:
        """The cord; nothing (half axes 0) below the conus tip."""
        sac = self.sac(s)
        a, b = (_look_up(table, s) for table in self._cord[:2])
        v = _look_up(self._cord[2], s)
        room = np.maximum(sac.b - b - 0.8, 0.0)
        return Ellipse(a, b, np.clip(v, -room, room))

    def sac(self, s: np.ndarray) -> Ellipse:
        """The dural sac; nothing below its end."""
        a, b = (_look_up(table, s) for table in self._sac)
        outline = tuple(
            (
                one,
                (one.mean + one.swing * np.cos(s * (2 * np.pi / DISC_SPACING_MM) + one.phase))
                * np.interp(s, (-10.0, self.subject.conus_tip_mm), (0.5, 1.0)),
            )
            for one in self.subject.variety.outline
        )
        outline = tuple((one, value.astype(a.dtype)) for one, value in outline)
        return Ellipse(a, b, np.zeros_like(a), outline)

    @cached_property
    def _cord(self) -> list[_Table]:
        """Half axes and centre of the cord from the uppermost segment to the conus tip."""
        subject = self.subject
        tip = subject.conus_tip_mm
        heights = [middle(subject, level) for level in norms.CORD_MM]
        tables = []
        for axis in (0, 1):
            half = [size[axis] / 2 * subject.cord_width for size in norms.CORD_MM.values()]
            thick = half[list(norms.CORD_MM).index("L3")]
            half = [
                value + subject.variety.blunt * (thick - value) * (height > middle(subject, "L3"))
                for height, value in zip(heights, half, strict=True)
            ]
            tables.append(_tabulate([*heights, tip], [*half, 0.45]))
        heights = [middle(subject, level) for level in _CORD_OFFSET_MM]
        tables.append(_tabulate([*heights, tip], [*_CORD_OFFSET_MM.values(), -4.2]))
        return tables

    @cached_property
    def _sac(self) -> list[_Table]:
        """Half axes of the sac; its lower part is stretched to where it ends."""
        subject = self.subject
        end = subject.sac_end_mm
        heights = [subject.size * height for height in norms.SAC_HEIGHT_MM.values()]
        sizes = [*norms.SAC_MM.values(), *norms.LOWER_SAC_MM.values()]
        start = subject.discs_mm["L3"]
        stretch = (end - start) / (subject.size * norms.SAC_END_MM[0] - start)
        for vertebra in norms.LOWER_SAC_MM:
            height = _top(subject, vertebra)
            heights.append(height if height < start else start + (height - start) * stretch)
        tables = []
        for axis in (0, 1):
            half = [size[axis] / 2 * subject.sac_width for size in sizes]
            knots, values = _tabulate([*heights, end], [*half, 1.2])
            for one in subject.variety.narrowings:
                bump = np.exp(-(((knots - one.s_mm) / one.length_mm) ** 2))
                values = values * (1 - one.share[axis] * bump)
            tables.append((knots, values))
        return tables

    def filum(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre v and radius of the filum at heights from the conus tip to the end of the sac."""
        tip, end = self.subject.conus_tip_mm, self.subject.sac_end_mm
        share = np.clip((s - tip) / (end - tip), 0, 1)
        radius = FILUM_RADIUS_MM[0] + share * (FILUM_RADIUS_MM[1] - FILUM_RADIUS_MM[0])
        start = float(self.cord(np.array(tip)).v)
        back = -np.maximum(self.sac(s).b - radius - 0.6, 0.0)
        return start + (back - start) * np.clip((s - tip) / 25.0, 0, 1), radius


def _relative_radius(p, q, level, outline) -> np.ndarray | float:
    """Radius over the ellipse's towards (p, q), a point at `level` in units of the half axes."""
    if not outline:
        return 1.0
    cosine, sine = p / level, q / level
    radius, turned = 1.0, {}
    cosines, sines = cosine, sine
    for order in range(1, max((one.order for one, _ in outline), default=0) + 1):
        turned[order] = (cosines, sines)
        cosines, sines = cosines * cosine - sines * sine, sines * cosine + cosines * sine
    for one, coefficient in outline:
        radius = radius + coefficient * turned[one.order][one.sine]
    return radius


def _tabulate(heights: list[float], values: list[float]) -> _Table:
    """A smooth curve through the values, finely sampled."""
    knots = np.linspace(heights[0], heights[-1], 600)
    return knots, PchipInterpolator(heights, values)(knots)


def _look_up(table: _Table, s: np.ndarray) -> np.ndarray:
    """Values at heights s, constant above the table and 0 below it; float32 for float32."""
    return np.interp(s, *table, right=0.0).astype(np.asarray(s).dtype)


def middle(subject: Subject, level: str) -> float:
    """Height of the middle of a cord segment in mm."""
    upper, lower = subject.segments_mm[level]
    return (upper + lower) / 2


def _top(subject: Subject, vertebra: str) -> float:
    names = list(subject.discs_mm)
    return subject.discs_mm[names[names.index(vertebra) - 1]]
