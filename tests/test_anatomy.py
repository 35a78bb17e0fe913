import itertools

import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.registry.anatomy import (
    LEVELS,
    REFINED_ROOTS,
    ROOTS,
    Region,
    Root,
    Scheme,
    Target,
    individuals_to_levels,
    label_colour,
    label_names,
    level_value,
    levels_of,
    swap_sides,
)
from spinalroots.registry.models import MODELS


def test_there_are_120_roots_and_22_refined_ones():
    assert len(LEVELS) == 30
    assert len(ROOTS) == len(set(map(str, ROOTS))) == 120
    assert len(REFINED_ROOTS) == 22
    expected = "T10 T11 T12 L1 L2 L3 L4 L5 S1 S2 S3"
    assert {root.level for root in REFINED_ROOTS} == set(expected.split())
    assert all(str(root).split("_")[1] == "D" for root in REFINED_ROOTS)


def test_root_values_follow_the_stated_formula():
    combinations = itertools.product(LEVELS, "DV", "LR")
    for expected, (level, kind, side) in enumerate(combinations, start=1):
        root = Root.parse(f"{level}_{kind}_{side}")
        assert root.value == expected
        assert Root.from_value(expected) == root


def test_level_values_are_those_of_the_spinal_cord_toolbox():
    # its rootlet labels count from C1; the manual ones for C5–C7 are 5, 6 and 7
    assert [level_value(level) for level in ("C5", "C6", "C7", "T1", "L1", "S5")] == [
        5,
        6,
        7,
        9,
        21,
        30,
    ]


@pytest.mark.parametrize("name", ["L6_D_L", "L3_X_L", "L3_D", "l3_D_L", "L3_D_L ", "T13_V_R", ""])
def test_a_wrong_root_name_is_refused(name):
    with pytest.raises(InputError, match="L3_D_L"):
        Root.parse(name)


@pytest.mark.parametrize("value", [0, 121, -4])
def test_a_label_value_outside_the_table_is_refused(value):
    with pytest.raises(InputError):
        Root.from_value(value)


def test_regions_share_out_the_refined_levels():
    parts = [levels_of(region) for region in ("thoracic", "lumbar", "sacral")]
    assert sum(parts, ()) == levels_of(Region.ALL)
    assert [len(part) for part in parts] == [3, 5, 3]


def test_mirroring_swaps_sides_and_nothing_else():
    values = np.arange(121, dtype=np.uint8)
    mirrored = swap_sides(values)
    assert mirrored[0] == 0
    for root in ROOTS:
        twin = Root.from_value(int(mirrored[root.value]))
        assert (twin.level, twin.type) == (root.level, root.type)
        assert twin.side != root.side
    assert np.array_equal(swap_sides(mirrored), values)


def test_the_level_of_every_root_is_kept_when_sides_are_dropped():
    levels = individuals_to_levels(np.array([root.value for root in ROOTS], np.uint8))
    assert [LEVELS[value - 1] for value in levels] == [root.level for root in ROOTS]


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_a_target_decodes_what_it_encodes(model):
    target = model.target()
    stored = np.array([0, *target.values], np.uint8)
    classes = target.encode(stored)
    assert classes.tolist() == list(range(len(stored)))
    assert np.array_equal(target.decode(classes), stored)
    assert Target.from_dict(target.as_dict()) == target


def test_roots_of_neighbouring_regions_are_background_or_a_class_of_their_own():
    l3, s1 = level_value("L3"), level_value("S1")
    labels = np.array([0, l3, s1], np.uint8)
    plain = Target.of("levels", "sacral")
    aware = Target.of("levels", "sacral", other_roots=True)
    assert plain.encode(labels).tolist() == [0, 0, 1]
    assert aware.encode(labels).tolist() == [0, 4, 1]
    assert aware.decode(np.array([0, 4, 1], np.uint8)).tolist() == [0, 0, s1]
    assert len(aware.class_names) == len(plain.class_names) + 1


def test_neighbouring_levels_do_not_look_alike():
    colours = [label_colour(Scheme.LEVELS, level_value(level)) for level in levels_of("all")]
    for one, other in itertools.pairwise(colours):
        assert np.abs(np.subtract(one, other)).sum() > 150


@pytest.mark.parametrize("scheme", list(Scheme))
def test_every_label_has_a_colour(scheme):
    for value in label_names(scheme):
        assert all(0 <= channel <= 255 for channel in label_colour(scheme, value))
