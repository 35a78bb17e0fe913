"""Warnings about roots that do not fit one another: order, sides, gaps, place in the canal.

Each asks something that a whole map can be wrong about while every root looks well by itself.
Limits were set on phantoms (docs/metrics.md counts the false alarms).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.metrics.levels import ENTRY_QUANTILE, positions_mm
from spinalroots.quality.records import warning
from spinalroots.registry.anatomy import LEVELS, TISSUES, Root, Side

ORDER_MM = 5.0
"""A root may seem to enter so much above the root of the level above: the shortest published origin
line is 4.8 mm long (Hauck 2008)."""

UNEVEN = 3.0
"""Volume of a level's one side over the other's; 1.6 at most in phantoms."""

GAP_SHARE = 0.25
"""Empty slices between a root's ends."""

FAR_MM, FAR_SHARE = 12.0, 0.5
"""Further from the centreline than half the widest sac, 21.1 mm [PAM50], and what share of all root
voxels may be there: roots beyond their foramen are."""

OFF_LEVELS = (-0.45, 0.95)
"""Names may be off by this many levels against the end of the cord: in phantoms -0.3 to 0.9,
but for one of 17, so that most names that are off by one level stand out and not all."""

SEGMENT_MM = {
    "T8": 25.5, "T9": 24.0, "T10": 22.0, "T11": 20.5, "T12": 18.5, "L1": 17.0, "L2": 13.0,
    "L3": 11.5, "L4": 10.5, "L5": 8.0, "S1": 7.0, "S2": 7.5, "S3": 6.5, "S4": 6.1, "S5": 4.3,
}  # fmt: skip
"""Length of the cord's segments [Frostell 2016, 10.3389/fneur.2016.00238, Table 3]."""

UNSEEN_MM = 12.0
"""Of the end of the cord, thinner than a mask shows: measured on phantoms, medians over levels."""

_FEWEST = 4
"""Roots from which names are held against the end of the cord."""
_AT_THE_TOP_MM = 5.0
"""A root that begins so near to the top of the scan may enter above it."""


@dataclass(frozen=True)
class _Measured:
    """Of a root: its upper end in mm along the line, the height of its highest voxel, its volume,
    its share of empty slices, and its shares far from the line and across the sac's middle."""

    entry_mm: float
    top_mm: float
    voxels: int
    empty: float
    far: float
    across: float


def warnings(
    roots: Sequence[tuple[Root, Volume]], centreline: Centreline, tissues: Volume | None
) -> Iterator[dict]:
    """Records as of :func:`spinalroots.quality.plausibility.warnings`.

    :param roots: masks (X, Y, Z) of the roots found, each cropped as may be, in RAS+.
    :param tissues: tissue map of the same scan, which tells the middle of the sac and the end of
        the cord; without one neither is asked.
    """
    middle = None if tissues is None else _middle(tissues)
    measured = {root: _measure(root, mask, centreline, middle) for root, mask in roots}
    yield from _order(measured)
    yield from _sides(measured)
    for root, one in measured.items():
        if one.empty > GAP_SHARE:
            message = f"{root} is missing from {one.empty:.0%} of the slices between its ends."
            yield warning("gaps", str(root), one.empty, GAP_SHARE, "share", message)
        if one.across > 0.5:
            message = f"{one.across:.0%} of {root} lies beyond the middle of the sac."
            yield warning("across_sac", str(root), one.across, 0.5, "share", message)
    count = sum(one.voxels for one in measured.values())
    far = sum(one.far * one.voxels for one in measured.values()) / count
    if far > FAR_SHARE:
        message = f"{far:.0%} of all roots are further than {FAR_MM:.0f} mm from the centreline."
        yield warning("outside_canal", "", far, FAR_SHARE, "share", message)
    if tissues is not None:
        yield from _names(measured, centreline, tissues)


def _measure(
    root: Root, mask: Volume, centreline: Centreline, middle: np.ndarray | None
) -> _Measured:
    voxels = np.argwhere(mask.data)
    places = mask.grid.to_mm(voxels)
    aside = (places - centreline.at_height(places[:, 2]))[:, :2]
    slices = np.unique(voxels[:, 2])
    across = 0.0
    if middle is not None:
        to_right = places[:, 0] - np.interp(places[:, 2], *middle)
        across = float(np.mean(to_right > 0 if root.side is Side.LEFT else to_right < 0))
    return _Measured(
        entry_mm=float(
            np.quantile(positions_mm(mask.data, mask.affine, centreline), ENTRY_QUANTILE)
        ),
        top_mm=float(places[:, 2].max()),
        voxels=len(voxels),
        empty=1 - len(slices) / (np.ptp(slices) + 1),
        far=float(np.mean(np.linalg.norm(aside, axis=1) > FAR_MM)),
        across=across,
    )


def _order(measured: dict[Root, _Measured]) -> Iterator[dict]:
    """Of neighbours on one side, the level above must enter above."""
    for column in sorted({(root.type, root.side) for root in measured}, key=str):
        own = sorted(
            (root for root in measured if (root.type, root.side) == column),
            key=lambda root: root.level_index,
        )
        for above, below in pairwise(own):
            rise_mm = measured[below].entry_mm - measured[above].entry_mm
            if rise_mm > ORDER_MM:
                message = f"{below} begins {rise_mm:.0f} mm above {above}: exchanged names?"
                yield warning("level_order", str(below), rise_mm, ORDER_MM, "mm", message)


def _sides(measured: dict[Root, _Measured]) -> Iterator[dict]:
    """All on one side; a level with one side only, or with very unequal ones."""
    sides = {root.side for root in measured}
    if len(sides) == 1:
        other = next(side for side in Side if side not in sides).name.lower()
        message = f"No {other} root was found in this scan."
        yield warning("one_sided", "", 0, 1, "roots", message)
        return
    for level, kind in sorted({(root.level_index, root.type) for root in measured}, key=str):
        own = {
            root.side: one.voxels
            for root, one in measured.items()
            if (root.level_index, root.type) == (level, kind)
        }
        for side in Side:
            if side not in own:
                name, there = str(Root(level, kind, side)), next(iter(own))
                message = f"{name} is missing, though {Root(level, kind, there)} is there."
                yield warning("missing_side", name, 0, 1, "roots", message)
        if len(own) == 2 and (ratio := max(own.values()) / min(own.values())) > UNEVEN:
            name = str(Root(level, kind, min(own, key=lambda side: own[side])))
            message = f"{name} has {1 / ratio:.0%} of the volume of the other side."
            yield warning("uneven_sides", name, ratio, UNEVEN, "ratio", message)


def _names(
    measured: dict[Root, _Measured], centreline: Centreline, tissues: Volume
) -> Iterator[dict]:
    """Where roots enter, counted in segments from the end of the cord."""
    cord = tissues.data == TISSUES.index("WM") + 1
    slices = np.flatnonzero(cord.any(axis=(0, 1)))
    top_mm = tissues.grid.to_mm(np.array([[0, 0, cord.shape[2] - 1]]))[0, 2] - _AT_THE_TOP_MM
    known = [(root, one) for root, one in measured.items() if one.top_mm < top_mm]
    if not len(slices) or not slices[0] or len(known) < _FEWEST:
        return
    lowest = np.zeros((1, 1, cord.shape[2]), bool)
    lowest[0, 0, slices[0]] = True
    end_mm = positions_mm(lowest, tissues.affine, centreline)[0] - UNSEEN_MM
    begin_mm = np.cumsum([*SEGMENT_MM.values()][::-1])[::-1]
    index = np.array([LEVELS.index(level) for level in SEGMENT_MM], float)
    entries = np.array([one.entry_mm for _, one in known])
    implied = np.interp(end_mm - entries, -begin_mm, index)
    off = float(np.median(implied - [root.level_index for root, _ in known]))
    if not OFF_LEVELS[0] <= off <= OFF_LEVELS[1]:
        way = "higher" if off < 0 else "lower"
        message = f"By the end of the cord, roots enter {abs(off):.1f} levels {way} than named."
        limit = OFF_LEVELS[0] if off < 0 else OFF_LEVELS[1]
        yield warning("names_off", "", off, limit, "levels", message)


def _middle(tissues: Volume) -> np.ndarray | None:
    """Heights, rising, and the sac's middle from right to left there (2, Z), RAS+ mm."""
    sac = np.isin(tissues.data, [TISSUES.index(name) + 1 for name in ("WM", "CSF")])
    along_x, along_y = sac.sum(axis=1), sac.sum(axis=0)
    filled = along_x.sum(axis=0)
    slices = np.flatnonzero(filled)
    if not len(slices):
        return None
    x = np.arange(sac.shape[0]) @ along_x[:, slices] / filled[slices]
    y = np.arange(sac.shape[1]) @ along_y[:, slices] / filled[slices]
    places = tissues.grid.to_mm(np.stack([x, y, slices], axis=1))
    order = np.argsort(places[:, 2])
    return np.stack([places[order, 2], places[order, 0]])
