"""Warnings about predictions that anatomy does not allow: a worse mask can do harm.

Limits come from publications and are wide on purpose: a warning says "look here", not "wrong".
"""

from collections.abc import Iterator

import numpy as np

from spinalroots.imaging.boxes import Box, label_boxes
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.metrics.levels import positions_mm
from spinalroots.quality import appearance, consistency
from spinalroots.quality.records import warning
from spinalroots.registry.anatomy import LEVELS, Root, Side

WRONG_SIDE_SHARE = 0.5
"""A root lies on the wrong side when more than this share of its voxels does."""

LOW_CONFIDENCE = 0.6
"""Mean root probability inside a root below which the model was hardly sure; 0.5 is a coin."""

DOUBTFUL_NAME = 0.5
"""Mean probability of a root's name below which it is rather another one's."""

SMALLEST_ROOT_MM3 = 0.9
"""One rootlet 0.5 mm thick along an origin line of 4.8 mm: the least that the shortest published
dorsal origin, S5's, can be (Hauck 2008)."""

LARGEST_SECTION_MM2 = 21.0
"""The thickest published dorsal root, S1 at 2.95 + 2·0.57 mm, has 13.1 mm² (PMID 24605949); cut
axially at the steepest published exit, 52.4° at T11 (PMID 22744616), that is 21 mm²."""

LARGEST_TOTAL_MM3 = 3900.0
"""Dorsal share of the 5.8 cm³ of rootlets in a whole canal (Sass 2017); ventral roots have about
half the dorsal section (Hogan 1996), so two thirds are dorsal."""

STRAND_MM = 1.0
"""Thickest single rootlet (Hauck 2008). A mask is about half a voxel too thick on every side, so
that a strand's masked section grows by (1 + voxel edge ÷ 1 mm)², and the total with it."""


def warnings(
    individuals: Volume,
    centreline: Centreline,
    foreground: Volume | None = None,
    tissues: Volume | None = None,
    name_chance: Volume | None = None,
) -> list[dict]:
    """What a person should look at before trusting a predicted individual map.

    :param individuals: individual map (X, Y, Z), uint8, RAS+.
    :param centreline: of the same scan, in RAS+ mm.
    :param foreground: P(any root) 0..1 on the same grid, if the model gave one.
    :param tissues: tissue map on the same grid, if the model gave one.
    :param name_chance: P(name is right) 0..1 of root voxels on the same grid, if it gave one.
    :return: plain records {kind, label, value, limit, unit, message}, ordered by kind and level.
        Kinds: `empty`, `missing_level`, `wrong_side`, `small_root`, `thick_root`, `large_total`,
        those of :mod:`spinalroots.quality.consistency`, `low_confidence`, `doubtful_name`. An empty
        list is no proof that the map is right.
    """
    boxes = label_boxes(individuals.data)
    roots = []
    for value, box in boxes.items():
        part = individuals.crop(box)
        roots.append((Root.from_value(value), part.with_data(part.data == value)))
    if not roots:
        return [warning("empty", "", 0, 0, "roots", "No root was found in this scan.")]
    return [
        *_missing_levels([root for root, _ in roots]),
        *_wrong_sides(roots, centreline),
        *_volumes(roots, centreline),
        *consistency.warnings(roots, centreline, tissues),
        *(_confidences(individuals, foreground, boxes) if foreground is not None else ()),
        *(_doubtful_names(individuals, name_chance, boxes) if name_chance is not None else ()),
    ]


def unlike_training(
    measured: dict[str, float], training: dict[str, dict[str, float]]
) -> list[dict]:
    """A warning for every feature in which a scan is unlike those the model was trained on.

    :param measured: of :func:`appearance.measure`.
    :param training: case → its features.
    :return: records as of :func:`warnings`, of the kind `unlike_training`; the label names the
        feature, the limit is where its allowed range ends.
    """
    found = []
    for one in appearance.departures(measured, training):
        feature = one.feature
        value = f"{_plain(one.value)} {feature.unit}".rstrip()
        is_now = f"is {value}" if np.isfinite(one.value) else "could not be measured"
        usual = f"{_plain(one.least)} to {_plain(one.most)} {feature.unit}".rstrip()
        subject = feature.words[0].upper() + feature.words[1:]
        message = f"{subject} {is_now}; in the training scans it is {usual}."
        limit = round(one.limit, 3)
        found.append(
            warning("unlike_training", feature.name, one.value, limit, feature.unit, message)
        )
    return found


def _missing_levels(roots: list[Root]) -> Iterator[dict]:
    found = {root.level_index for root in roots}
    first, last = LEVELS[min(found)], LEVELS[max(found)]
    for index in range(min(found), max(found)):
        if index not in found:
            message = f"{LEVELS[index]} has no root, though {first} and {last} do."
            yield warning("missing_level", LEVELS[index], 0, 1, "roots", message)


def _wrong_sides(roots: list[tuple[Root, Volume]], centreline: Centreline) -> Iterator[dict]:
    for root, mask in roots:
        points = mask.grid.to_mm(np.argwhere(mask.data))
        right_of_line = points[:, 0] - centreline.at_height(points[:, 2])[:, 0]
        wrong = right_of_line > 0 if root.side is Side.LEFT else right_of_line < 0
        share = float(np.mean(wrong))
        if share > WRONG_SIDE_SHARE:
            side = root.side.name.lower()
            message = f"{share:.0%} of {root} lies on the other side of the centreline than {side}."
            yield warning("wrong_side", str(root), share, WRONG_SIDE_SHARE, "share", message)


def _volumes(roots: list[tuple[Root, Volume]], centreline: Centreline) -> Iterator[dict]:
    spacing_mm, total_mm3 = roots[0][1].spacing_mm, 0.0
    for root, mask in roots:
        name = str(root)
        volume_mm3 = float(np.prod(spacing_mm)) * np.count_nonzero(mask.data)
        total_mm3 += volume_mm3
        positions = positions_mm(mask.data, mask.affine, centreline)
        section_mm2 = volume_mm3 / (np.ptp(positions) + spacing_mm[2])
        if volume_mm3 < SMALLEST_ROOT_MM3:
            message = f"{root} has {volume_mm3:.1f} mm³, less than one rootlet."
            yield warning("small_root", name, volume_mm3, SMALLEST_ROOT_MM3, "mm³", message)
        if section_mm2 > LARGEST_SECTION_MM2:
            message = f"{root} is {section_mm2:.0f} mm² thick on average, more than any known root."
            yield warning("thick_root", name, section_mm2, LARGEST_SECTION_MM2, "mm²", message)
    edge_mm = float(np.mean(spacing_mm[:2]))
    most_mm3 = round(LARGEST_TOTAL_MM3 * (1 + edge_mm / STRAND_MM) ** 2)
    if total_mm3 > most_mm3:
        message = f"The roots fill {total_mm3:.0f} mm³, more than all dorsal rootlets of a canal."
        yield warning("large_total", "", total_mm3, most_mm3, "mm³", message)


def _confidences(individuals: Volume, foreground: Volume, boxes: dict[int, Box]) -> Iterator[dict]:
    for root, chances in _inside(individuals, foreground, boxes):
        mean = float(chances.mean())
        if mean < LOW_CONFIDENCE:
            message = f"The model gave {root} a mean probability of only {mean:.2f}."
            yield warning("low_confidence", root, mean, LOW_CONFIDENCE, "probability", message)


def _doubtful_names(
    individuals: Volume, name_chance: Volume, boxes: dict[int, Box]
) -> Iterator[dict]:
    for root, chances in _inside(individuals, name_chance, boxes):
        asked = chances[chances > 0]
        mean = float(asked.mean()) if len(asked) else 1.0
        if mean < DOUBTFUL_NAME:
            message = f"That {root} is this root and no other has a chance of only {mean:.2f}."
            yield warning("doubtful_name", root, mean, DOUBTFUL_NAME, "probability", message)


def _inside(
    individuals: Volume, chances: Volume, boxes: dict[int, Box]
) -> Iterator[tuple[str, np.ndarray]]:
    """The chances (N,) of each root's voxels."""
    for value, box in boxes.items():
        yield str(Root.from_value(value)), chances.data[box][individuals.data[box] == value]


def _plain(value: float) -> str:
    """Two digits, and whole numbers where there are more."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"
