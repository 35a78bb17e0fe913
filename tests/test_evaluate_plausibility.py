"""Warnings appear where a fault was planted, and nowhere else."""

import json

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.quality import plausibility
from spinalroots.registry.anatomy import Root, swap_sides

AFFINE = np.diag([0.5, 0.5, 1.0, 1.0])
AFFINE[:3, 3] = [-10.0, -10.0, 0.0]
STRAIGHT = Centreline(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 60.0]]), "truth")


def sound_map(levels=("L2", "L3", "L4", "L5")):
    """2 × 2 mm tubes of 20 mm, left ones at negative x."""
    labels = np.zeros((40, 40, 60), np.uint8)
    for index, level in enumerate(levels):
        for side, x in (("L", 8), ("R", 28)):
            labels[x : x + 4, 4 + 6 * index : 8 + 6 * index, 20:40] = Root.parse(
                f"{level}_D_{side}"
            ).value
    return labels


def kinds(labels, foreground=None, name_chance=None):
    volume = Volume(labels, AFFINE)
    foreground, name_chance = (
        None if chances is None else Volume(chances.astype(np.float32), AFFINE)
        for chances in (foreground, name_chance)
    )
    found = plausibility.warnings(volume, STRAIGHT, foreground, None, name_chance)
    json.dumps(found)
    return {(warning["kind"], warning["label"]) for warning in found}


def test_a_sound_map_has_no_warning():
    assert kinds(sound_map(), np.full((40, 40, 60), 0.9)) == set()


def test_an_empty_map_says_so():
    assert kinds(np.zeros((5, 5, 5), np.uint8)) == {("empty", "")}


def test_every_level_missing_between_two_present_ones_is_named():
    assert kinds(sound_map(("L1", "L4", "L5"))) == {
        ("missing_level", "L2"),
        ("missing_level", "L3"),
    }
    assert kinds(sound_map(("L4", "L5"))) == set()


def test_roots_on_the_wrong_side_are_named_and_the_centreline_decides():
    mirrored = swap_sides(sound_map(("L3",)))
    assert kinds(mirrored) == {("wrong_side", "L3_D_L"), ("wrong_side", "L3_D_R")}
    moved = Volume(sound_map(("L3",)), AFFINE)
    far_left = Centreline(STRAIGHT.points_mm - [9, 0, 0], "truth")
    found = plausibility.warnings(moved, far_left)
    assert [(one["kind"], one["label"]) for one in found] == [("wrong_side", "L3_D_L")]


def test_specks_and_lumps_are_named():
    speck = sound_map()
    speck[speck == Root.parse("L4_D_R").value] = 0
    speck[30, 30, 37:40] = Root.parse("L4_D_R").value  # 0.75 mm³
    assert kinds(speck) == {("small_root", "L4_D_R"), ("uneven_sides", "L4_D_R")}
    lump = sound_map()
    lump[2:16, 28:38, 20:40] = Root.parse("L5_D_L").value  # 35 mm² and more
    assert kinds(lump) == {("thick_root", "L5_D_L"), ("uneven_sides", "L5_D_R")}


def test_too_much_root_in_all_is_named():
    full = np.zeros((40, 40, 60), np.uint8)
    full[:20], full[20:] = Root.parse("L3_D_L").value, Root.parse("L3_D_R").value
    assert ("large_total", "") in kinds(full)


def test_low_confidence_is_named_per_root():
    probability = np.full((40, 40, 60), 0.9)
    probability[20:, :10] = 0.52
    assert kinds(sound_map(), probability) == {("low_confidence", "L2_D_R")}


def test_a_doubtful_name_is_told_from_a_doubtful_root():
    chances = np.full((40, 40, 60), 0.9)
    doubtful = chances.copy()
    doubtful[20:, :10] = 0.45
    doubtful[20:, :10, ::7] = 0  # where no root was seen nothing is known of a name
    assert kinds(sound_map(), chances, doubtful) == {("doubtful_name", "L2_D_R")}
