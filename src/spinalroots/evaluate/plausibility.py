"""Warnings about predictions that anatomy does not allow: a worse mask can do harm.

Limits come from publications and are wide on purpose: a warning says "look here", not "wrong".
"""

from __future__ import annotations

import numpy as np

from spinalroots.anatomy import LEVELS, ROOTS, Root, Side, individuals_to_levels
from spinalroots.evaluate.levels import positions_mm
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume

WRONG_SIDE_SHARE = 0.5
"""A root lies on the wrong side when more than this share of its voxels does."""

LOW_CONFIDENCE = 0.6
"""Mean root probability inside a root below which the model was hardly sure; 0.5 is a coin."""

SMALLEST_ROOT_MM3 = 0.9
"""One rootlet 0.5 mm thick along an origin line of 4.8 mm: the least that the shortest published
dorsal origin, S5's, can be (Hauck 2008)."""

LARGEST_SECTION_MM2 = 21.0
"""The thickest published dorsal root, S1 at 2.95 + 2·0.57 mm, has 13.1 mm² (PMID 24605949); cut
axially at the steepest published exit, 52.4° at T11 (PMID 22744616), that is 21 mm²."""

LARGEST_TOTAL_MM3 = 3900.0
"""Dorsal share of the 5.8 cm³ of rootlets in a whole canal (Sass 2017); ventral roots have about
half the dorsal section (Hogan 1996), so two thirds are dorsal."""


def warnings(
    individuals: Volume, centreline: Centreline, foreground: Volume | None = None
) -> list[dict]:
    """What a person should look at before trusting a predicted individual map.

    :param individuals: individual map (X, Y, Z), uint8, RAS+.
    :param centreline: of the same scan, in RAS+ mm.
    :param foreground: P(any root) 0..1 on the same grid, if the model gave one.
    :return: plain records {kind, label, value, limit, unit, message}, ordered by kind and level.
        Kinds: `empty`, `missing_level`, `wrong_side`, `small_root`, `thick_root`, `large_total`,
        `low_confidence`. An empty list is no proof that the map is right.
    """
    present = (
        [root for root in ROOTS if (individuals.data == root.value).any()]
        if (individuals.data.any())
        else []
    )
    if not present:
        return [_warning("empty", "", 0, 0, "roots", "No root was found in this scan.")]
    return [
        *_missing_levels(individuals),
        *_wrong_sides(individuals, centreline, present),
        *_volumes(individuals, centreline, present),
        *_confidences(individuals, foreground, present),
    ]


def _missing_levels(individuals: Volume) -> list[dict]:
    values = np.unique(individuals_to_levels(individuals.data))
    values = values[values > 0]
    missing = sorted(set(range(int(values[0]), int(values[-1]) + 1)) - set(values.tolist()))
    first, last = LEVELS[values[0] - 1], LEVELS[values[-1] - 1]
    return [
        _warning(
            "missing_level",
            LEVELS[value - 1],
            0,
            1,
            "roots",
            f"{LEVELS[value - 1]} has no root, though {first} to {last} do.",
        )
        for value in missing
    ]


def _wrong_sides(individuals: Volume, centreline: Centreline, present: list[Root]) -> list[dict]:
    found = []
    for root in present:
        voxels = np.argwhere(individuals.data == root.value)
        points = voxels @ individuals.affine[:3, :3].T + individuals.affine[:3, 3]
        right_of_line = points[:, 0] - centreline.at_height(points[:, 2])[:, 0]
        wrong = right_of_line > 0 if root.side is Side.LEFT else right_of_line < 0
        share = float(np.mean(wrong))
        if share > WRONG_SIDE_SHARE:
            side = "left" if root.side is Side.LEFT else "right"
            message = f"{share:.0%} of {root} lies on the other side of the centreline than {side}."
            found.append(
                _warning("wrong_side", str(root), share, WRONG_SIDE_SHARE, "share", message)
            )
    return found


def _volumes(individuals: Volume, centreline: Centreline, present: list[Root]) -> list[dict]:
    voxel_mm3 = float(np.prod(individuals.spacing_mm))
    found, total_mm3 = [], 0.0
    for root in present:
        mask = individuals.data == root.value
        volume_mm3 = voxel_mm3 * np.count_nonzero(mask)
        total_mm3 += volume_mm3
        positions = positions_mm(mask, individuals.affine, centreline)
        section_mm2 = volume_mm3 / (np.ptp(positions) + individuals.spacing_mm[2])
        if volume_mm3 < SMALLEST_ROOT_MM3:
            message = f"{root} has {volume_mm3:.1f} mm³, less than one rootlet."
            found.append(
                _warning("small_root", str(root), volume_mm3, SMALLEST_ROOT_MM3, "mm³", message)
            )
        if section_mm2 > LARGEST_SECTION_MM2:
            message = f"{root} is {section_mm2:.0f} mm² thick on average, more than any known root."
            found.append(
                _warning("thick_root", str(root), section_mm2, LARGEST_SECTION_MM2, "mm²", message)
            )
    if total_mm3 > LARGEST_TOTAL_MM3:
        message = f"The roots fill {total_mm3:.0f} mm³, more than all dorsal rootlets of a canal."
        found.append(_warning("large_total", "", total_mm3, LARGEST_TOTAL_MM3, "mm³", message))
    return found


def _confidences(individuals: Volume, foreground: Volume | None, present: list[Root]) -> list[dict]:
    found = []
    for root in present if foreground is not None else ():
        mean = float(foreground.data[individuals.data == root.value].mean())
        if mean < LOW_CONFIDENCE:
            message = f"The model gave {root} a mean probability of only {mean:.2f}."
            found.append(
                _warning("low_confidence", str(root), mean, LOW_CONFIDENCE, "probability", message)
            )
    return found


def _warning(kind: str, label: str, value: float, limit: float, unit: str, message: str) -> dict:
    return {
        "kind": kind,
        "label": label,
        "value": round(float(value), 3),
        "limit": limit,
        "unit": unit,
        "message": message,
    }
