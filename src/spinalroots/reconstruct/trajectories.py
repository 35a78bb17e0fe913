"""The way of a root from its entry into the cord to its exit, and how thick it is along the way."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spinalroots.imaging.centreline import smooth
from spinalroots.reconstruct.main_branch import main_branch
from spinalroots.reconstruct.threads import thread_of

STIFFNESS_MM = 2.0
"""Waves of a trajectory shorter than about six times this are voxel steps and are smoothed away."""
_NEIGHBOURS = 3
"""Parts of the line on either side of a voxel's own that may be nearer to it."""
_INSIDE_MM, _RAYS, _STEP_MM = 2.0, 64, 0.05
"""How far inside a root's end rays start that look for it, how many, and how finely they look."""
_THIN = 1.25
"""Sections below this many times that of the voxels which the line runs through are a thread's."""
_SLABS = 8
"""Parts of a voxel that are counted each in the cross section where it lies."""


@dataclass(frozen=True)
class Trajectory:
    """`points_mm` (N, 3): RAS+ mm from entry (above) to exit; `diameter_mm` (N,) of a round root.

    `joined` (N,): the mask has a gap here, which the line bridges; `thin` (N,): the mask is no
    thicker than one voxel here, so that the root may be thinner than `diameter_mm` says;
    `strands` (N,): separate parts of the cross section, such as rootlets. `volume_mm3`: of the
    voxels followed. `parts`: connected parts that the root is made of; `left_out_mm3`: volume of
    those too far away to be joined.
    """

    points_mm: np.ndarray
    diameter_mm: np.ndarray
    joined: np.ndarray
    thin: np.ndarray
    strands: np.ndarray
    volume_mm3: float
    parts: int
    left_out_mm3: float

    @property
    def along_mm(self) -> np.ndarray:
        """(N,) arc length from the first point on."""
        steps = np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def length_mm(self) -> float:
        """Along the points, from end to end."""
        return float(self.along_mm[-1])

    @property
    def mean_diameter_mm(self) -> float:
        """Diameter of a round root of that volume and length."""
        return float(2 * np.sqrt(self.volume_mm3 / (np.pi * max(self.length_mm, 1e-6))))


def trace_root(
    mask: np.ndarray, affine: np.ndarray, *, spacing_mm: float = 1.0, gap_mm: float = 10.0
) -> Trajectory:
    """Trajectory through a root's mask (X, Y, Z), which must not be empty.

    The distance along the root is measured inside the mask from one end to the other; points are
    the centres of the voxels of equal distance. Where the root runs in several strands that do not
    touch, they are centres of the strand that leads from end to end, so that the line stays in the
    mask. The first and the last point lie where the mask ends.

    :param affine: (4, 4) voxel → RAS+ mm.
    :param spacing_mm: distance of the points.
    :param gap_mm: parts closer than this are joined by the shortest bridge.
    """
    thread = thread_of(mask, affine, gap_mm)
    places_mm, along = thread.places_mm, thread.along_mm
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    volume_mm3 = len(along) * voxel_mm3
    span = places_mm[along.argmax()] - places_mm[along.argmin()]
    thick_mm = float(np.linalg.norm(span @ affine[:3, :3]) / max(float(np.linalg.norm(span)), 1e-6))
    main = np.ones(len(along), bool)
    points_mm, bin_, step_mm = _centres(places_mm, along, main, spacing_mm, thick_mm)
    main, _ = thread.strands(bin_)
    main &= main_branch(thread, mask, affine)
    points_mm, bin_, step_mm = _centres(places_mm, along, main, spacing_mm, thick_mm)
    for _ in range(5):  # along the line instead of from one voxel: its ends are cut across
        along = _along(places_mm, points_mm, bin_)
        points_mm, bin_, step_mm = _centres(places_mm, along, main, spacing_mm, thick_mm)
    radius_mm = np.sqrt(main.sum() * voxel_mm3 / (np.pi * step_mm * len(points_mm)))
    first, last = (_end(mask, affine, points_mm[::way], radius_mm, step_mm) for way in (1, -1))
    joined = _over_gaps(along, thread.bridges, step_mm, len(points_mm), thick_mm)
    strands = thread.strands(bin_)[1]  # up to the last point that has a voxel
    strands = np.pad(strands, (0, len(points_mm) - len(strands)), mode="edge")
    points_mm = np.concatenate([first[None], points_mm, last[None]])
    reach_mm = np.full(len(points_mm) - 2, step_mm)
    reach_mm[[0, -1]] = step_mm / 2 + np.linalg.norm(np.diff(points_mm, axis=0)[[0, -1]], axis=1)
    section_mm2 = _sections(along, step_mm, reach_mm, thick_mm) * voxel_mm3
    down = slice(None, None, 1 if points_mm[0, 2] >= points_mm[-1, 2] else -1)
    return Trajectory(
        points_mm[down],
        2 * np.sqrt(section_mm2 / np.pi)[down],
        np.pad(joined, 1)[down],
        (section_mm2 < _THIN * _voxel_section_mm2(points_mm, affine))[down],
        np.pad(np.maximum(strands, 1), 1, mode="edge")[down],
        float(volume_mm3),
        thread.parts,
        thread.left_out * voxel_mm3,
    )


def _over_gaps(
    along_mm: np.ndarray, bridges: np.ndarray, step_mm: float, count: int, thick_mm: float
) -> np.ndarray:
    """Which of the `count` points (N,) lie on a bridge, and beside no voxel of any strand."""
    at_mm = (np.arange(count) + 0.5) * step_mm - thick_mm / 2
    nearest_mm = np.abs(np.sort(along_mm)[:, None] - at_mm).min(axis=0)
    ends = np.sort(along_mm[bridges], axis=0)
    on_one = ((at_mm[:, None] > ends[0]) & (at_mm[:, None] < ends[1])).any(axis=1)
    return on_one & (nearest_mm > thick_mm / 2)


def _voxel_section_mm2(points_mm: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Section (N,) across the line of the voxels that the line itself runs through."""
    ways = np.gradient(points_mm, axis=0)
    ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-9)
    steps = np.abs(ways @ np.linalg.inv(affine[:3, :3]).T)  # voxels per mm along each axis
    return abs(float(np.linalg.det(affine[:3, :3]))) * steps.sum(axis=1)


def _centres(
    places_mm: np.ndarray,
    along_mm: np.ndarray,
    main: np.ndarray,
    spacing_mm: float,
    thick_mm: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Points (N, 3) about every `spacing_mm` along the root, the middles of the voxels of its
    `main` (V,) strand; the point (V,) that each voxel belongs to, and the points' step in mm.

    Voxels are `thick_mm` thick along the root.
    """
    whole_mm = float(along_mm.max()) + thick_mm
    count = max(2, int(np.ceil((whole_mm - 1e-6) / spacing_mm)))
    step_mm = max(whole_mm / count, 1e-6)
    bin_ = np.minimum(((along_mm + thick_mm / 2) / step_mm).astype(int), count - 1)
    filled = np.bincount(bin_[main], minlength=count)
    total = np.stack(
        [np.bincount(bin_[main], places_mm[main, k], count) for k in range(3)], axis=-1
    )
    centres = total / np.maximum(filled, 1)[:, None]
    if count > 2:
        centres = smooth(centres, filled / filled.mean(), STIFFNESS_MM / step_mm)
    return centres, bin_, step_mm


def _sections(
    along_mm: np.ndarray, step_mm: float, reach_mm: np.ndarray, thick_mm: float
) -> np.ndarray:
    """Voxels per mm about the points, and once more at either end: (N + 2,).

    Each voxel is spread over its thickness; `reach_mm` (N,): length of root about each point.
    """
    spread = along_mm[:, None] + (np.arange(_SLABS) + 0.5) / _SLABS * thick_mm
    bin_ = np.minimum((spread.ravel() / step_mm).astype(int), len(reach_mm) - 1)
    filled = np.bincount(bin_, minlength=len(reach_mm)) / _SLABS / reach_mm
    known = np.flatnonzero(filled)
    even = ndimage.gaussian_filter1d(filled[known], 1.0)
    return np.pad(np.interp(np.arange(len(filled)), known, even), 1, mode="edge")


def _along(places_mm: np.ndarray, points_mm: np.ndarray, bin_: np.ndarray) -> np.ndarray:
    """Where along the line (N, 3) its nearest place is, in mm from the first voxel on.

    Only the line's parts about a voxel's own point are asked, for a root that turns back; beyond
    its ends the line goes on straight.
    """
    starts, parts = points_mm[:-1], np.diff(points_mm, axis=0)
    long = np.maximum(np.linalg.norm(parts, axis=1), 1e-6)
    before = np.append(0.0, np.cumsum(long))
    nearest, along = np.full(len(places_mm), np.inf), np.zeros(len(places_mm))
    for shift in range(-_NEIGHBOURS, _NEIGHBOURS):
        part = np.clip(bin_ + shift, 0, len(parts) - 1)
        away, unit = places_mm - starts[part], parts[part] / long[part, None]
        on = np.einsum("ij,ij->i", away, unit)
        on = np.maximum(on, np.where(part == 0, -np.inf, 0))
        on = np.minimum(on, np.where(part == len(parts) - 1, np.inf, long[part]))
        distance = np.linalg.norm(away - on[:, None] * unit, axis=1)
        nearer = distance < nearest
        nearest[nearer], along[nearer] = distance[nearer], (before[part] + on)[nearer]
    return along - along.min()


def _end(
    mask: np.ndarray, affine: np.ndarray, points_mm: np.ndarray, radius_mm: float, spacing_mm: float
) -> np.ndarray:
    """Where the root (3,) ends before the first of its points: the mean of rays inside the mask.

    The rays start inside, run with the line and fill the middle of the root, so that neither a
    voxel's edge nor a rounded rim decides. Where the middle is empty, as between strands, the root
    ends half a spacing before its first point.
    """
    inner = min(round(_INSIDE_MM / spacing_mm) or 1, len(points_mm) - 1)
    way = points_mm[0] - points_mm[inner]
    known_mm = max(float(np.linalg.norm(way)), 1e-6)
    way = way / known_mm
    turn, radius = np.arange(_RAYS) * np.pi * (3 - np.sqrt(5)), np.sqrt(np.arange(_RAYS) / _RAYS)
    disc = 0.6 * radius_mm * radius * np.stack([np.cos(turn), np.sin(turn)])
    aside = np.linalg.svd(way[None])[2][1:]
    on_mm = np.arange(_STEP_MM / 2, known_mm + 2 * radius_mm + 2 * spacing_mm, _STEP_MM)
    places = points_mm[inner] + (disc.T @ aside)[:, None] + on_mm[:, None] * way
    voxels = np.rint((places - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    inside = ((voxels >= 0) & (voxels < mask.shape)).all(axis=-1)
    inside[inside] = mask[tuple(voxels[inside].T)]
    length = inside.sum(axis=1) * _STEP_MM
    if np.count_nonzero(length) < _RAYS / 2:
        return points_mm[0] + way * spacing_mm / 2
    return points_mm[0] + way * max(length[length > 0].mean() - known_mm, 0)
