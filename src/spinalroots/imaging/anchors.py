"""Discs that a person or another program has seen: what level names can rest on.

A point anywhere in the disc or behind it will do. What counts is its foot on the centreline, so
that a disc that is tilted against the scan's axis is not taken for a higher or lower place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.boxes import label_boxes
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid, read_labels
from spinalroots.registry.vertebrae import DISC_VALUES, disc_name, position_of, positions

OTHER_VALUES = {*range(1, min(DISC_VALUES)), 49, 50, 60}
"""Values of a disc file that are understood and not used: higher discs, pontomedullary groove and
junction, end of the cord [Spinal Cord Toolbox, labelling conventions and lumbar registration]."""
TALLEST_MM = 15.0
"""A label that is taller than this, and than it is wide, is a vertebra or a piece of cord."""
FARTHEST_MM = 50.0
"""From the centreline to the front edge of a disc, the sac's half depth included, at most."""
_FLIP = "From LPS coordinates, turn the sign of the first two numbers."


@dataclass(frozen=True)
class Anchor:
    """A point in or behind a disc, in the scanner's RAS+ mm; the disc's name is checked."""

    disc: str
    ras_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "disc", disc_name(self.disc))

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Anchor of ``DISC=X,Y,Z``.

        >>> Anchor.parse("L1-L2=-3.5,20,-41")
        Anchor(disc='L1/L2', ras_mm=(-3.5, 20.0, -41.0))
        """
        disc, _, numbers = text.partition("=")
        try:
            x, y, z = (float(number) for number in numbers.split(","))
        except ValueError:
            x = y = z = np.nan
        if not np.isfinite([x, y, z]).all():
            raise InputError(
                f"anchor {text!r}",
                expected="DISC=X,Y,Z such as L1/L2=-3.5,20,-41, in RAS+ mm",
                found=repr(numbers),
                fix="Read the point off in 3D Slicer (markups, RAS), or another viewer.",
            )
        return cls(disc, (x, y, z))


def read_discs(path: Path) -> tuple[Anchor, ...]:
    """The discs of a label file as the Spinal Cord Toolbox and TotalSpineSeg write them, from the
    head down: a value's centre of mass, in the world, on whatever grid.

    :raises InputError: no label map, none of a known disc, or values that are not discs.
    """
    labels = read_labels(path)
    boxes = label_boxes(labels.data)
    fix = "Give SCT's …_labeled_discs.nii.gz or a file of TotalSpineSeg's step1_levels/."
    strange = sorted(boxes.keys() - DISC_VALUES.keys() - OTHER_VALUES)
    if strange or not boxes.keys() & DISC_VALUES.keys():
        raise InputError(
            path,
            expected=f"disc labels, of them one at least among {min(DISC_VALUES)} "
            f"({DISC_VALUES[min(DISC_VALUES)]}) to {max(DISC_VALUES)} "
            f"({DISC_VALUES[max(DISC_VALUES)]}); {_value('L1/L2')} is L1/L2",
            found=f"value {', '.join(map(str, strange or sorted(boxes) or [0]))}",
            fix=fix,
        )
    found = []
    for value, disc in DISC_VALUES.items():
        if value in boxes:
            size_mm = [side.stop - side.start for side in boxes[value]] * labels.spacing_mm
            if size_mm[2] > max(TALLEST_MM, size_mm[0]):
                raise InputError(
                    path,
                    expected="points or discs",
                    found=f"value {value} over {size_mm[2]:.0f} mm of height: a vertebra, or cord",
                    fix=fix,
                )
            part = labels.crop(boxes[value])
            centre = np.argwhere(part.data == value).mean(axis=0)
            x, y, z = part.grid.to_mm(centre).tolist()
            found.append(Anchor(disc, (x, y, z)))
    return tuple(found)


def inside(anchors: Sequence[Anchor], grid: Grid) -> np.ndarray:
    """Which anchors (N,) bool lie in a voxel of the grid."""
    points_mm = np.array([anchor.ras_mm for anchor in anchors]).reshape(-1, 3)
    voxels = grid.to_voxels(points_mm)
    within = (voxels >= -0.5) & (voxels <= np.array(grid.shape) - 0.5)
    return np.asarray(within.all(axis=1))


def require_inside(anchors: Sequence[Anchor], grid: Grid) -> None:
    """:class:`InputError` for an anchor that lies outside the scan's `grid`."""
    for anchor, within in zip(anchors, inside(anchors, grid), strict=True):
        if not within:
            corners = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape]), -1)
            low, high = (f(grid.to_mm(corners), axis=(0, 1, 2)) for f in (np.min, np.max))
            extent = ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))
            raise InputError(
                _name(anchor),
                expected=f"a point inside the scan, which covers {extent} mm in RAS+",
                found=_point(anchor.ras_mm),
                fix=_FLIP,
            )


def along_mm(points_mm: np.ndarray, centreline: Centreline) -> tuple[np.ndarray, np.ndarray]:
    """Where the feet of points (N, 3) lie on the centreline, and how far the points are from them.

    The curve goes straight on beyond its ends.

    :return: mm (N,) along the curve as of `Centreline.arc_length_mm`, rising upwards; distances
        (N,) in mm.
    """
    points_mm = np.asarray(points_mm, float)
    steps = np.diff(centreline.points_mm, axis=0)
    length = np.linalg.norm(steps, axis=1)
    direction = steps / length[:, None]
    offset = points_mm[:, None] - centreline.points_mm[None, :-1]
    foot = (offset * direction).sum(axis=-1)
    low, high = np.zeros(len(steps)), length.copy()
    low[0], high[-1] = -np.inf, np.inf
    foot = foot.clip(low, high)
    apart = np.linalg.norm(offset - foot[..., None] * direction, axis=-1)
    nearest = apart.argmin(axis=1)
    rows = np.arange(len(points_mm))
    return centreline.arc_length_mm[nearest] + foot[rows, nearest], apart[rows, nearest]


def vertebral_positions(
    points_mm: np.ndarray, centreline: Centreline, anchors: Sequence[Anchor]
) -> np.ndarray:
    """Vertebral position (N,) of points (N, 3) in RAS+ mm, such as a slice's on the centreline.

    See :mod:`spinalroots.registry.vertebrae`; nan without anchors.

    :raises InputError: an anchor far from the centreline, or anchors that no spine can have.
    """
    along, _ = along_mm(points_mm, centreline)
    return positions(along, placed(anchors, centreline))


def placed(anchors: Sequence[Anchor], centreline: Centreline) -> list[tuple[float, float]]:
    """(vertebral position, mm along the centreline) of each anchor, for
    :func:`spinalroots.registry.vertebrae.positions`.

    :raises InputError: an anchor lies further from the centreline than a disc can.
    """
    if not anchors:
        return []
    along, apart = along_mm(np.array([anchor.ras_mm for anchor in anchors]), centreline)
    for anchor, distance in zip(anchors, apart, strict=True):
        if distance > FARTHEST_MM:
            raise InputError(
                _name(anchor),
                expected=f"a point at most {FARTHEST_MM:.0f} mm from the line through cord and sac",
                found=f"{distance:.0f} mm ({_point(anchor.ras_mm)})",
                fix=_FLIP,
            )
    return [(position_of(one.disc), float(mm)) for one, mm in zip(anchors, along, strict=True)]


def _value(disc: str) -> int:
    return next(value for value, name in DISC_VALUES.items() if name == disc)


def _name(anchor: Anchor) -> str:
    return f"anchor {anchor.disc}"


def _point(ras_mm: tuple[float, float, float]) -> str:
    return f"({', '.join(f'{value:.1f}' for value in ras_mm)})"
