"""Courses of the roots: from the cord's surface, down inside the sac, out to the own foramen.

At every height the roots of one side are discs in a cross-section. Each has a place to which it
is drawn: on the cord's surface where it is born, lateral along the cord as it gets older, in the
cauda equina the further back and the closer to the midline the more caudal its level, and at the
side wall when it is about to leave. Discs then push each other, the cord and the dura away until
none overlap.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

from spinalroots.phantom import norms
from spinalroots.phantom.sections import Sections
from spinalroots.phantom.subject import Subject
from spinalroots.registry.anatomy import Root, Side, Type

STEP_MM = 1.0
"""Distance of the samples of a course along s."""
OUTSIDE_MM = 11.0
"""How far to the side a root is followed outside the sac: to its foramen."""
_PULLED, _FREE = 120, 80  # iterations
_SLACK_MM = 0.25  # of the wanted distance that may be missing in the end
_TRIES = 3
_ENTRY_DEG = {Type.DORSAL: 38.0, Type.VENTRAL: 142.0}  # from the posterior midline
_LATERAL_DEG = {Type.DORSAL: 84.0, Type.VENTRAL: 98.0}


@dataclass(frozen=True)
class Course:
    """One root in straight coordinates (u, v, s) in mm.

    `trunk` (N, 3) runs from where the rootlets have joined to the foramen, with `radius_mm` (N,);
    `inside` counts its samples within the sac. Each rootlet (M, 3) ends at the trunk's start.
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
    return tuple(course for side in Side for course in _lay_side(subject, side, rng))


def _lay_side(subject: Subject, side: Side, rng: np.random.Generator) -> list[Course]:
    roots = [root for root in subject.diameters_mm if root.side is side]
    radius = np.array([subject.diameters_mm[root] / 2 for root in roots])
    s = np.arange(subject.segments_mm[norms.SIMULATED_LEVELS[0]][0], subject.sac_end_mm, STEP_MM)
    born = np.array([subject.segments_mm[root.level][0] for root in roots])
    joined = np.array([_join_height(subject, root.level) for root in roots])
    leaves = np.array([subject.exits_mm[root.level] for root in roots])
    present = (s[:, None] >= born) & (s[:, None] <= leaves + 4.0)  # keep clear of who just left
    wander = gaussian_filter1d(rng.normal(size=(len(s), len(roots), 2)), 25 / STEP_MM, axis=0)
    wander *= subject.waviness_mm / wander.std()
    sections = Sections(subject)
    lower = np.array([subject.segments_mm[root.level][1] for root in roots])
    home = _home(sections, s, roots, radius, lower - 3.0, leaves)
    fresh = np.clip((s[:, None] - joined) / 15, 0, 1) * np.clip((leaves - s[:, None]) / 15, 0, 1)
    formed = np.clip((s[:, None] - born) / (joined - born), 0, 1)
    thick = radius * (0.3 + 0.7 * formed)  # while its rootlets gather, a root is still thin
    wander *= fresh[..., None]
    for _ in range(_TRIES):  # a wander that leaves two roots stuck on the wrong sides is calmed
        places, overlap_mm = _relax(sections, s, home + wander, radius, thick, present)
        if overlap_mm <= 0:
            break
        wander *= 0.4
    sign = 1.0 if side is Side.RIGHT else -1.0
    turn_deg = float(np.clip(rng.normal(0, 3.1), -5, 5))  # spread as published for T11 and L5
    return [
        _course(subject, sections, root, s, places[:, index], radius[index], sign, turn_deg, rng)
        for index, root in enumerate(roots)
    ]


def _join_height(subject: Subject, level: str) -> float:
    """Where a level's rootlets have become one trunk: a few mm below the segment."""
    lower = subject.segments_mm[level][1]
    join = lower + min(4.0, 0.4 * (subject.exits_mm[level] - lower))
    return min(join, subject.conus_tip_mm - 2.0)


def _home(sections, s, roots, radius, joined, leaves) -> np.ndarray:
    """The place (S, N, 2) that each root is drawn to at each height, u positive to its own side.

    Along the cord a root moves from its entry line to the side. Below the conus the roots lie in
    layers from the back's middle (caudal levels) to the side (the next to leave), ventral ones
    inside dorsal ones. How far a root has got follows from the thickness of those after it.
    """
    cord, sac = sections.cord(s), sections.sac(s)
    dorsal = np.array([root.type is Type.DORSAL for root in roots])
    parity = np.array([root.level_index % 2 for root in roots]) - 0.5
    rank = _rank(s, radius, dorsal, joined, leaves)
    leaving = np.clip(1 - (leaves - s[:, None]) / 18, 0, 1)
    lateral = np.where(dorsal, _LATERAL_DEG[Type.DORSAL], _LATERAL_DEG[Type.VENTRAL])
    entry = np.where(dorsal, _ENTRY_DEG[Type.DORSAL], _ENTRY_DEG[Type.VENTRAL])

    packing = sections.subject.variety.packing
    gap = packing.gap_mm
    wall_a, wall_b = sac.a[:, None] - radius - gap, sac.b[:, None] - radius - gap
    grown = np.clip((s[:, None] - joined) / 16, 0, 1) * (1 - 0.9 * packing.hug)
    height = np.clip(grown * (0.25 + 0.5 * rank + 0.25 * parity), 0, 1)
    height += (1 - height) * leaving**2
    angle = np.radians(entry + (lateral - entry) * rank)
    near_a, near_b = cord.a[:, None] + radius + gap, cord.b[:, None] + radius + gap
    beside = np.stack(
        [
            (near_a + (wall_a - near_a) * height) * np.sin(angle),
            cord.v[:, None] * (1 - height) - (near_b + (wall_b - near_b) * height) * np.cos(angle),
        ],
        axis=-1,
    )
    caudal = np.where(dorsal, 12.0, 30.0)
    angle = np.radians(caudal + (lateral - caudal) * rank)
    reach = np.where(dorsal, 0.80, 0.44) + parity * np.where(dorsal, 0.30, 0.18)
    reach = reach + (1 - reach) * leaving**2
    sunk = 0.14 * wall_b * (1 - leaving)  # who lies on their back has the roots at the back
    below = np.stack(
        [reach * wall_a * np.sin(angle), -reach * wall_b * np.cos(angle) - sunk], axis=-1
    )
    below = _bundled(below, roots, leaving < 1, packing)
    bed = -np.sqrt(np.clip(1 - (below[..., 0] / np.maximum(wall_a, 0.2)) ** 2, 0, 1)) * wall_b
    below[..., 1] += packing.sink * (1 - leaving) * (bed - below[..., 1])
    tip = sections.subject.conus_tip_mm
    blend = np.clip((s - (tip - 40 + 25 * packing.hug)) / 50, 0, 1)
    blend = (blend * blend * (3 - 2 * blend))[:, None, None]
    return beside * (1 - blend) + below * blend


def _bundled(places, roots, here, packing) -> np.ndarray:
    """Places (S, N, 2) drawn to the middle of their bundle: neighbouring levels of either type."""
    bundle = np.array([root.level_index // packing.bundle for root in roots])
    drawn = places.copy()
    for number in np.unique(bundle):
        mine = bundle == number
        weight = here[:, mine, None] + 1e-6
        middle = (places[:, mine] * weight).sum(axis=1) / weight.sum(axis=1)
        drawn[:, mine] += packing.clump * (middle[:, None] - places[:, mine])
    return drawn


def _rank(s, radius, dorsal, joined, leaves) -> np.ndarray:
    """0 for the most caudal root at a height, 1 for the next to leave (S, N); even in thickness."""
    weight = np.clip((leaves - s[:, None]) / 15, 0, 1) * np.clip((s[:, None] - joined) / 10, 0, 1)
    weight = weight * radius
    rank = np.zeros_like(weight)
    for kind in (dorsal, ~dorsal):
        mine = weight[:, kind]
        caudal = np.cumsum(mine[:, ::-1], axis=1)[:, ::-1] - mine / 2
        rank[:, kind] = caudal / np.maximum(mine.sum(axis=1, keepdims=True), 1e-6)
    alone = np.clip(1 - (leaves - s[:, None]) / 12, 0, 1)  # who leaves is at the side
    born = np.clip((s[:, None] - joined) / 16, 0, 1)
    return np.maximum(rank * born, alone)


def _relax(sections, s, home, radius, thick, present) -> tuple[np.ndarray, float]:
    """Places (S, N, 2) near `home` clear of each other, the cord and the dura; the worst overlap.

    First the roots push each other while they are drawn home and kept smooth along s; then only
    overlaps are removed. `thick` (S, N): the radius that others keep clear of.
    """
    cord, sac = sections.cord(s), sections.sac(s)
    filum_v, filum_radius = sections.filum(s)
    filum_radius = np.where(s > sections.subject.conus_tip_mm, filum_radius, 0.0)
    packing = sections.subject.variety.packing
    gap = packing.gap_mm
    pairs = _Pairs(thick, present, gap)
    radius = radius[:, None]
    home = np.ascontiguousarray(home.transpose(2, 1, 0), np.float32)  # (2, N, S)
    places = home.copy()
    for iteration in range(_PULLED + _FREE):
        left = max(0.0, 1 - iteration / _PULLED)  # of the pull home and of the smoothing
        aside = 0.05 * left * (1 - 0.9 * packing.level)
        pull = np.array([aside, 0.05 * left], np.float32)[:, None, None]
        places += 0.45 * pairs.push(places) + pull * (home - places)
        places = gaussian_filter1d(places, 0.7 + 2.3 * left, axis=-1, mode="nearest")
        places = _inside(_out_of(places, cord, radius + gap), sac, radius)
        beside = np.abs(places[1] - filum_v) < filum_radius + radius + 0.5
        least = radius + gap / 2 + np.where(beside, filum_radius, 0.0)
        places[0] = np.maximum(places[0], least)
    return places.transpose(2, 1, 0), pairs.overlap_mm(places)


class _Pairs:
    """All pairs of roots that are ever at the same height, and how far apart they must be."""

    def __init__(self, thick: np.ndarray, present: np.ndarray, gap_mm: float):
        one, two = np.triu_indices(thick.shape[1], 1)
        together = (present[:, one] & present[:, two]).T
        meet = together.any(axis=1)
        self.one, self.two = one[meet], two[meet]
        need = (thick[:, self.one] + thick[:, self.two]).T + gap_mm
        self.need = np.where(together[meet], need, 0.0).astype(np.float32)  # (pairs, S)
        self.room = np.empty((4, *self.need.shape), np.float32)  # every step writes here again
        number = np.arange(len(self.one))
        self.sums = csr_array(
            (
                np.repeat(np.array([1, -1], np.float32), len(number)),
                (np.concatenate([self.one, self.two]), np.tile(number, 2)),
            ),
            shape=(thick.shape[1], len(number)),
        )

    def apart(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Components and length (pairs, S) of the vectors between the roots of each pair."""
        du, dv, distance, other = self.room
        for way, along in zip((du, dv), places.astype(np.float32), strict=True):
            np.take(along, self.one, axis=0, out=way)
            way -= np.take(along, self.two, axis=0, out=other)
        np.add(np.multiply(du, du, out=distance), np.multiply(dv, dv, out=other), out=distance)
        np.sqrt(distance, out=distance)
        distance += np.float32(1e-6)
        return du, dv, distance

    def push(self, places: np.ndarray) -> np.ndarray:
        """Sum of the pushes (2, N, S) on each root by those that are too close."""
        du, dv, distance = self.apart(places)
        weight = np.subtract(self.need, distance, out=self.room[3])
        np.divide(np.maximum(weight, 0, out=weight), distance, out=weight)
        return np.stack([self.sums @ np.multiply(weight, way, out=way) for way in (du, dv)])

    def overlap_mm(self, places: np.ndarray) -> float:
        """How far the worst pair reaches into each other; negative: the narrowest gap."""
        return float((self.need - _SLACK_MM - self.apart(places)[2]).max())


def _out_of(places: np.ndarray, cord, margin: np.ndarray) -> np.ndarray:
    """Places (2, N, S) moved out of the grown cord, along rays from its middle."""
    length = np.count_nonzero(cord.a > 0)  # the cord's heights come first
    a, b, v = cord.a[:length] + margin, cord.b[:length] + margin, cord.v[:length]
    across, along = places[0, :, :length], places[1, :, :length]
    q = np.sqrt((across / a) ** 2 + ((along - v) / b) ** 2) + 1e-6
    factor = np.where(q < 1, 1 / q, 1.0)
    out = places.copy()
    out[0, :, :length] *= factor
    out[1, :, :length] = v + (along - v) * factor
    return out


def _inside(places: np.ndarray, sac, radius: np.ndarray) -> np.ndarray:
    """Places (2, N, S) moved into the shrunk sac, along rays from its middle."""
    beyond = sac.gauge(places[0], places[1], -radius - 0.1, 0.2)
    return places / np.maximum(beyond, 1.0)


def _course(subject, sections, root, s, places, radius, sign, turn_deg, rng) -> Course:
    """Assemble trunk and rootlets of one root from its places (S, 2)."""
    level = root.level
    join, leave = _join_height(subject, level), subject.exits_mm[level]
    rows = np.flatnonzero((s >= join) & (s <= leave))
    inside = np.column_stack([sign * places[rows, 0], places[rows, 1], s[rows]])
    slope = np.tan(np.radians(norms.along_levels(norms.EXIT_ANGLE_DEG, level) + turn_deg))
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
