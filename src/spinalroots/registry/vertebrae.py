"""Discs by name, and how far apart they lie: where along the spine a slice is.

The *vertebral position* of a place is 0 at the disc L1/L2 and rises by 1 a vertebra upwards:
T12/L1 is 1, L2/L3 is -1, the middle of L2 is -0.5. Seen discs, the *anchors*, fix it; the published
spacing of discs tells what lies between and beyond them.
"""

import difflib
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from spinalroots.errors import InputError
from spinalroots.registry.anatomy import LEVELS

DISC_HEIGHT_MM = {
    "T8": -28.5, "T9": 0.0, "T10": 29.0, "T11": 60.5, "T12": 92.0, "L1": 125.5,
    "L2": 159.0, "L3": 190.5, "L4": 219.5, "L5": 246.0, "S1": 271.0, "S2": 294.0, "S3": 314.0,
}  # fmt: skip
"""Height of the disc below each vertebra in mm along the sac, downwards from T9/T10. T9–L1:
[PAM50]. Below: derived from the distances between root exits, 33.9 mm (L1–L2) falling to 25.5 mm
(L4–L5) [PMID 22744616]. Discs of the sacrum are remnants; some can be seen."""

DISCS: tuple[str, ...] = tuple(
    f"{above}/{LEVELS[LEVELS.index(above) + 1]}" for above in DISC_HEIGHT_MM
)
"""Every disc that has a position, from the head down: T8/T9 … S3/S4."""

DISC_VALUES: dict[int, str] = {LEVELS.index(disc.split("/")[1]): disc for disc in DISCS}
"""Value in a disc label file → disc: the number, counted from C1, of the vertebra below it, so that
C2/C3 is 3, T12/L1 is 20 and L5/S1 is 25. [Spinal Cord Toolbox, "Applying the labeling algorithm":
`…_labeled_discs.nii.gz`; TotalSpineSeg, README: `step1_levels`.] (There is no vertebra C8: below
it a vertebra's number is that of the spinal level above.)"""

SHORTEST, LONGEST = 0.6, 1.6
"""Distance of two discs over the standard one, between a child's or a collapsed vertebra and a tall
person's. A disc that was counted wrong beside its neighbour is off by a factor of two."""

CONUS_POSITIONS = (-1.33, 1.5)
"""Lowest and highest vertebral position of the end of the cord: the upper third of L3 to the middle
of T12 [Saifuddin 1998, n = 504]."""

_ORIGIN = DISCS.index("L1/L2")
_STANDARD_MM = DISC_HEIGHT_MM["L1"] - np.array(list(DISC_HEIGHT_MM.values()))
_STANDARD_POSITION = _ORIGIN - np.arange(len(DISCS), dtype=float)


def disc_name(text: str) -> str:
    """A disc as :data:`DISCS` spells it.

    >>> disc_name("t12-l1")
    'T12/L1'

    :raises InputError: there is none of that name; the nearest one is named.
    """
    name = re.sub(r"\s*[-–/_]\s*", "/", text.strip().upper())
    if name not in DISCS:
        close = difflib.get_close_matches(name, DISCS, n=1)
        raise InputError(
            f"disc {text!r}",
            expected=f"one of {', '.join(DISCS)}",
            found=repr(text),
            fix=f"Did you mean {close[0]}?" if close else "Give one of these.",
        )
    return name


def position_of(disc: str) -> int:
    """Vertebral position of a disc.

    >>> position_of("T12/L1"), position_of("L1-L2"), position_of("L5/S1")
    (1, 0, -4)
    """
    return _ORIGIN - DISCS.index(disc_name(disc))


def standard_mm(position: np.ndarray | float) -> np.ndarray:
    """Height above L1/L2 in mm of vertebral positions, in a person of the standard size.

    Beyond the table the first and the last distance go on.
    """
    return _bent(position, _STANDARD_POSITION[::-1], _STANDARD_MM[::-1])


def positions(along_mm: np.ndarray, anchors: Sequence[tuple[float, float]]) -> np.ndarray:
    """Vertebral position (Z,) of places along the spine.

    One anchor shifts the standard spine. Two or more also stretch it, each stretch between
    neighbours by itself, and beyond the first and the last as all between them together.

    :param along_mm: (Z,) mm along the spine from anywhere, rising upwards.
    :param anchors: (vertebral position, along_mm) of each seen disc, in any order. None: all nan.
    :raises InputError: anchors that no spine can have.
    """
    along_mm = np.asarray(along_mm, float)
    if not len(anchors):
        return np.full(along_mm.shape, np.nan)
    require_possible(anchors)
    at, seen_mm = np.array(sorted(anchors), float).T
    wanted_mm = standard_mm(at)
    stretch = 1.0
    if len(at) > 1:
        stretch = (wanted_mm[-1] - wanted_mm[0]) / (seen_mm[-1] - seen_mm[0])
    height_mm = _bent(along_mm, seen_mm, wanted_mm, slopes=(stretch, stretch))
    return _bent(height_mm, _STANDARD_MM[::-1], _STANDARD_POSITION[::-1])


def require_possible(anchors: Sequence[tuple[float, float]]) -> None:
    """:class:`InputError` for two anchors at one disc, in the wrong order, or at a distance that
    no two such discs have; `anchors` as in :func:`positions`."""
    for (lower, lower_mm), (upper, upper_mm) in pairwise(sorted(anchors)):
        names = f"{_nearest(upper)} and {_nearest(lower)}"
        if upper == lower:
            raise InputError(
                f"anchors at {_nearest(upper)}",
                expected="one a disc",
                found="two",
                fix="Leave one of them out.",
            )
        found_mm = upper_mm - lower_mm
        usual_mm = float(standard_mm(upper) - standard_mm(lower))
        if not SHORTEST <= found_mm / usual_mm <= LONGEST:
            raise InputError(
                f"anchors at {names}",
                expected=f"the upper one {SHORTEST * usual_mm:.0f} to {LONGEST * usual_mm:.0f} mm "
                f"above the lower one along the spine (usually {usual_mm:.0f})",
                found=f"{abs(found_mm):.0f} mm {'above' if found_mm > 0 else 'below'} it",
                fix="Count the discs again, and give points in RAS+ mm: from LPS, turn the sign of "
                "the first two numbers.",
            )


def _nearest(position: float) -> str:
    return DISCS[int(np.clip(_ORIGIN - round(position), 0, len(DISCS) - 1))]


def _bent(
    x: np.ndarray | float, xs: np.ndarray, ys: np.ndarray, slopes: tuple | None = None
) -> np.ndarray:
    """Straight pieces through (xs, ys), xs rising, and on beyond their ends with `slopes` (before,
    after); None: as the first and the last piece."""
    if slopes is None:
        slopes = ((ys[1] - ys[0]) / (xs[1] - xs[0]), (ys[-1] - ys[-2]) / (xs[-1] - xs[-2]))
    before, after = np.minimum(x - xs[0], 0), np.maximum(x - xs[-1], 0)
    return np.interp(x, xs, ys) + slopes[0] * before + slopes[1] * after
