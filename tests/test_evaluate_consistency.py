"""Gross errors planted in a good map: each gives its warning, the good map none."""

import numpy as np
import pytest

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.quality import plausibility
from spinalroots.quality.consistency import SEGMENT_MM
from spinalroots.registry.anatomy import LEVELS, REFINED_ROOTS, Root, Side, swap_sides

AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])
AFFINE[:3, 3] = (-20.0, -20.0, 0.0)
SHAPE = (40, 40, 190)
LINE = Centreline(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 285.0]]), "truth")
CORD_END = 60
"""Slice; the cord goes on for 12 mm that a mask does not show."""
NAMED = {(root.level_index, root.side): root.value for root in REFINED_ROOTS}


@pytest.fixture(scope="module")
def tissues():
    x, y, z = np.indices(SHAPE)
    data = np.where(np.hypot(x - 20, y - 20) < 9, 2, 0).astype(np.uint8)
    data[(np.hypot(x - 20, y - 20) < 4) & (z >= CORD_END)] = 1
    return Volume(data, AFFINE)


@pytest.fixture(scope="module")
def sound():
    """Threads of 2 × 2 voxels, the lower ones nearer to the middle, each from its segment down."""
    lengths = list(SEGMENT_MM.values())
    labels = np.zeros(SHAPE, np.uint8)
    for number, level in enumerate(sorted({root.level_index for root in REFINED_ROOTS})):
        below_mm = sum(lengths[list(SEGMENT_MM).index(LEVELS[level]) :])
        top = round(CORD_END + (below_mm - 12) / 1.5)
        row = 16 + 2 * (number % 4)
        column = 3 + 3 * (number // 4)
        for side in Side:
            x = 20 - column - 1 if side is Side.LEFT else 19 + column
            labels[x : x + 2, row : row + 2, max(2, top - 60) : top] = NAMED[level, side]
    return labels


def renamed(labels, name):
    """Every root under the name (level, side) → value that `name` gives it; 0 wipes it out."""
    table = np.zeros(256, np.uint8)
    for (level, side), value in NAMED.items():
        table[value] = name(level, side)
    return table[labels]


def level(name):
    return LEVELS.index(name)


def shifted(by):
    return lambda labels: renamed(labels, lambda at, side: NAMED.get((at + by, side), 0))


def exchanged(labels):
    other = {level("L3"): level("L5"), level("L5"): level("L3")}
    return renamed(labels, lambda at, side: NAMED[other.get(at, at), side])


def upside_down(labels):
    ends = min(at for at, _ in NAMED) + max(at for at, _ in NAMED)
    return renamed(labels, lambda at, side: NAMED[ends - at, side])


def every_second_slice_missing(labels):
    labels = labels.copy()
    labels[:, :, ::2] = 0
    return labels


FAULTS = {
    "L3 and L5 exchanged": (exchanged, ("level_order", "L4_D_L")),
    "upside down": (upside_down, ("level_order", "S3_D_R")),
    "names a level too high": (shifted(-1), ("names_off", "")),
    "names a level too low": (shifted(1), ("names_off", "")),
    "no left root": (
        lambda labels: renamed(labels, lambda at, side: NAMED[at, side] * (side is Side.RIGHT)),
        ("one_sided", ""),
    ),
    "one side of L4 missing": (
        lambda labels: np.where(labels == Root.parse("L4_D_L").value, 0, labels),
        ("missing_side", "L4_D_L"),
    ),
    "every second slice missing": (every_second_slice_missing, ("gaps", "L4_D_L")),
    "15 mm in front": (lambda labels: np.roll(labels, 15, axis=1), ("outside_canal", "")),
    "half of one side": (
        lambda labels: np.where(
            (labels == Root.parse("L4_D_L").value) & (np.arange(SHAPE[2]) < 72), 0, labels
        ),
        ("uneven_sides", "L4_D_L"),
    ),
}


def found(labels, tissues, line=LINE):
    warnings = plausibility.warnings(Volume(labels.astype(np.uint8), AFFINE), line, None, tissues)
    return {(one["kind"], one["label"]) for one in warnings}


def test_a_sound_map_has_no_warning(sound, tissues):
    assert found(sound, tissues) == found(sound, None) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(sound, tissues, fault):
    plant, expected = FAULTS[fault]
    assert expected in found(plant(sound), tissues)


def test_sides_are_held_against_the_sac_where_the_line_cannot_tell(sound, tissues):
    """Beside a line that lies aside, right roots on the left are where the line wants them."""
    aside = Centreline(LINE.points_mm - np.array([11.0, 0, 0]), "image")
    kinds = found(swap_sides(sound), tissues, aside)
    assert ("wrong_side", "L4_D_R") not in kinds
    assert ("across_sac", "L4_D_R") in kinds


def test_roots_that_enter_above_the_scan_are_not_counted_against_the_cord(sound, tissues):
    """Cut off below T12: the upper levels begin at the top of the picture, and nothing is wrong."""
    low = slice(0, 110)
    maps = Volume(sound[..., low], AFFINE), Volume(tissues.data[..., low], AFFINE)
    assert plausibility.warnings(maps[0], LINE, None, maps[1]) == []
