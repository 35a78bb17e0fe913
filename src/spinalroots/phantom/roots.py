"""Courses of the roots: from the cord's surface, down inside the sac, out to the own foramen.

At every height the roots of one side are discs in a cross-section. Each has a place to which it is
drawn: on the cord's surface where it is born, lateral along the cord as it gets older, in the cauda
equina the further back and the closer to the midline the more caudal its level, and at the side wall
when it is about to leave. Discs then push each other, the cord and the dura away until none overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from spinalroots.anatomy import Root, Side, Type
from spinalroots.phantom import norms
from spinalroots.phantom.sections import Sections
from spinalroots.phantom.subject import Subject

STEP_MM = 1.0
"""Distance of the samples of a course along s."""
GAP_MM = 0.25
"""Least room between two roots, and between a root and cord or dura."""
OUTSIDE_MM = 11.0
"""How far to the side a root is followed outside the sac: to its foramen."""
_ENTRY_DEG = {Type.DORSAL: 38.0, Type.VENTRAL: 142.0}  # from the posterior midline
_LATERAL_DEG = {Type.DORSAL: 84.0, Type.VENTRAL: 98.0}


@dataclass(frozen=True)
class Course:
    """One root in straight coordinates (u, v, s) in mm.

    `trunk` (N, 3) runs from where the rootlets have joined to the foramen, `radius_mm` (N,) beside it;
    `inside` counts its samples within the sac. Each rootlet (M, 3) ends at the trunk's first sample.
    """

    root: Root
    trunk: np.ndarray
    radius_mm: np.ndarray
    inside: int
    rootlets: tuple[np.ndarray, ...]
    rootlet_radius_mm: float

    @property
    def intradural_length_mm(self) -> float:
        """From the lowest rootlet's entry into the cord to the exit from the sac."""
        path = np.concatenate([self.rootlets[-1], self.trunk[: self.inside]])
        return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def lay_courses(subject: Subject, rng: np.random.Generator) -> tuple[Course, ...]:
    """Courses of all simulated roots, each side laid out on its own."""
    return tuple(
        course for side in Side for course in _lay_side(subject, side, rng)
    )


def _lay_side(subject: Subject, side: Side, rng: np.random.Generator) -> list[Course]:
    roots = [root for root in subject.diameters_mm if root.side is side]
    radius = np.array([subject.diameters_mm[root] / 2 for root in roots])
    s = np.arange(
        subject.segments_mm[norms.SIMULATED_LEVELS[0]][0], subject.sac_end_mm, STEP_MM
    )
    born = np.array([subject.segments_mm[root.level][0] for root in roots])
    joined = np.array([_join_height(subject, root.level) for root in roots])
    leaves = np.array([subject.exits_mm[root.level] for root in roots])
    present = (s[:, None] >= born) & (s[:, None] <= leaves)
    wander = gaussian_filter1d(rng.normal(size=(len(s), len(roots), 2)), 25 / STEP_MM, axis=0)
    wander *= subject.waviness_mm / wander.std()
    sections = Sections(subject)
    home = _home(sections, s, roots, radius, born, joined, leaves, subject.conus_tip_mm)
    fresh = np.clip((s[:, None] - joined) / 15, 0, 1) * np.clip((leaves - s[:, None]) / 15, 0, 1)
    places = _relax(sections, s, home + wander * fresh[..., None], radius, present, s[:, None] < joined)
    sign = 1.0 if side is Side.RIGHT else -1.0
    return [
        _course(subject, sections, root, s, places[:, index], radius[index], sign, rng)
        for index, root in enumerate(roots)
    ]


def _join_height(subject: Subject, level: str) -> float:
    """Where a level's rootlets have become one trunk: a few mm below the segment."""
    lower = subject.segments_mm[level][1]
    join = lower + min(4.0, 0.4 * (subject.exits_mm[level] - lower))
    return min(join, subject.conus_tip_mm - 2.0)


def _home(sections, s, roots, radius, born, joined, leaves, tip) -> np.ndarray:
    """The place (S, N, 2) that each root is drawn to at each height, u positive to its own side."""
    cord, sac = sections.cord(s), sections.sac(s)
    dorsal = np.array([root.type is Type.DORSAL for root in roots])
    entry = np.where(dorsal, _ENTRY_DEG[Type.DORSAL], _ENTRY_DEG[Type.VENTRAL])
    lateral = np.where(dorsal, _LATERAL_DEG[Type.DORSAL], _LATERAL_DEG[Type.VENTRAL])
    age = np.clip((s[:, None] - joined) / (leaves - joined), 0, 1)
    near = np.exp(-np.clip(leaves - s[:, None], 0, None) / 45.0)  # 1 at the exit

    angle = np.radians(entry + (lateral - entry) * age**0.6)
    away = GAP_MM + radius + np.clip(age * 2 - 1, 0, 1) ** 2 * 20.0
    beside = np.stack(
        [
            (cord.a[:, None] + away) * np.sin(angle),
            cord.v[:, None] - (cord.b[:, None] + away) * np.cos(angle),
        ],
        axis=-1,
    )
    caudal = np.where(dorsal, 14.0, 22.0)
    angle = np.radians(caudal + (lateral - caudal) * near**0.7)
    reach = np.where(dorsal, 0.86, 0.55) + (1 - np.where(dorsal, 0.86, 0.55)) * near**3
    below = np.stack(
        [
            reach * sac.a[:, None] * np.sin(angle),
            -reach * sac.b[:, None] * np.cos(angle),
        ],
        axis=-1,
    )
    blend = np.clip((s - (tip - 35)) / 50, 0, 1)
    blend = (blend * blend * (3 - 2 * blend))[:, None, None]
    return beside * (1 - blend) + below * blend


def _relax(sections, s, home, radius, present, pinned) -> np.ndarray:
    """Places (S, N, 2) near `home` where no two roots, the cord or the dura overlap."""
    cord, sac = sections.cord(s), sections.sac(s)
    filum_v, filum_radius = sections.filum(s)
    below = s > sections.subject.conus_tip_mm
    need = radius[:, None] + radius[None, :] + GAP_MM
    np.fill_diagonal(need, 0.0)
    both = present[:, :, None] & present[:, None, :]
    places = home.copy()
    iterations = 60
    for iteration in range(iterations):
        last = iteration >= iterations - 20
        apart = places[:, :, None] - places[:, None, :]
        distance = np.sqrt((apart**2).sum(-1)) + 1e-6
        overlap = np.where(both, np.clip(need - distance, 0, None), 0.0)
        places += 0.45 * ((overlap / distance)[..., None] * apart).sum(axis=2)
        if not last:
            places += 0.05 * (home - places)
        places = gaussian_filter1d(places, 1.0 if last else 3.0, axis=0, mode="nearest")
        places = np.where(pinned[..., None], home, places)
        places = _out_of(places, cord, radius + GAP_MM)
        places = _inside(places, sac, radius)
        gap = np.where(below & (s < sections.subject.sac_end_mm), filum_radius, 0.0)[:, None]
        close = np.abs(places[..., 1] - filum_v[:, None]) < gap + radius + 0.5
        least = radius + 0.15 + np.where(close, gap, 0.0)
        places[..., 0] = np.maximum(places[..., 0], least)
    return places


def _out_of(places: np.ndarray, cord, margin: np.ndarray) -> np.ndarray:
    a, b = cord.a[:, None] + margin, cord.b[:, None] + margin
    q = np.sqrt((places[..., 0] / a) ** 2 + ((places[..., 1] - cord.v[:, None]) / b) ** 2) + 1e-6
    factor = np.where((q < 1) & (cord.a[:, None] > 0), 1 / q, 1.0)
    out = places.copy()
    out[..., 0] *= factor
    out[..., 1] = cord.v[:, None] + (places[..., 1] - cord.v[:, None]) * factor
    return out


def _inside(places: np.ndarray, sac, radius: np.ndarray) -> np.ndarray:
    a = np.maximum(sac.a[:, None] - radius - 0.1, 0.2)
    b = np.maximum(sac.b[:, None] - radius - 0.1, 0.2)
    q = np.sqrt((places[..., 0] / a) ** 2 + (places[..., 1] / b) ** 2) + 1e-6
    return places / np.maximum(q, 1.0)[..., None]


def _course(subject, sections, root, s, places, radius, sign, rng) -> Course:
    """Assemble trunk and rootlets of one root from its places (S, 2)."""
    level = root.level
    join, leave = _join_height(subject, level), subject.exits_mm[level]
    rows = np.flatnonzero((s >= join) & (s <= leave))
    inside = np.column_stack([sign * places[rows, 0], places[rows, 1], s[rows]])
    slope = np.tan(np.radians(norms.along_levels(norms.EXIT_ANGLE_DEG, level) + rng.normal(0, 2)))
    sideways = np.arange(0, OUTSIDE_MM, STEP_MM * min(slope, 1.0))[1:]
    outside = np.column_stack(
        [
            inside[-1, 0] + sign * sideways,
            inside[-1, 1] + 0.05 * sideways,
            inside[-1, 2] + sideways / slope,
        ]
    )
    trunk = np.concatenate([inside, outside])
    upper, lower = subject.segments_mm[level]
    count = round(norms.along_levels(norms.ROOTLETS, level))
    if root.type is Type.VENTRAL:
        count = max(2, count // 2)
    thin, thick = norms.ROOTLET_DIAMETER_MM
    diameter = min(float(np.clip(2.2 * radius / np.sqrt(count), thin, thick)), 2 * radius)
    margin = 0.08 * (lower - upper)
    heights = np.linspace(upper + margin, min(lower - 0.2, join - 1.5), count)
    heights[1:-1] += rng.normal(0, 0.1, count - 2) * (lower - upper) / count
    entry = _ENTRY_DEG[root.type] + rng.normal(0, 2)
    rootlets = tuple(
        _rootlet(sections, height, trunk[0], sign, entry, diameter / 2) for height in heights
    )
    return Course(root, trunk, np.full(len(trunk), radius), len(inside), rootlets, diameter / 2)


def _rootlet(sections, height, join, sign, entry_deg, radius) -> np.ndarray:
    """A rootlet (M, 3) along the cord's surface from its entry at `height` to the trunk's start."""
    s = np.linspace(height, join[2], max(3, int((join[2] - height) / STEP_MM) + 1))
    cord = sections.cord(s)
    last = np.arctan2(abs(join[0]) / cord.a[-1], -(join[1] - cord.v[-1]) / cord.b[-1])
    reach = np.hypot(join[0] / cord.a[-1], (join[1] - cord.v[-1]) / cord.b[-1])
    way = np.linspace(0, 1, len(s))
    angle = np.radians(entry_deg) + (last - np.radians(entry_deg)) * way
    start = 1 - 0.3 / cord.a[0]
    factor = start + (reach - start) * np.minimum(way * 1.0, 1.0) ** 0.7
    return np.column_stack(
        [
            sign * factor * cord.a * np.sin(angle),
            cord.v - factor * cord.b * np.cos(angle),
            s,
        ]
    )
