"""Discs by name, and positions along the spine from anchors."""

import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.registry.vertebrae import DISC_HEIGHT_MM, DISCS, position_of, positions


def test_discs_are_counted_from_the_one_below_the_first_lumbar_vertebra():
    assert [position_of(f"L{n}/L{n + 1}") for n in (1, 2, 3, 4)] == [0, -1, -2, -3]
    assert [position_of(name) for name in ("L5/S1", "T12-L1", "t11 / t12", "T8/T9")] == [
        -4,
        1,
        2,
        5,
    ]
    assert (DISCS[0], DISCS[-1]) == ("T8/T9", "S3/S4")


@pytest.mark.parametrize("name", ["L1", "L1/L3", "L6/S1", "C2/C3", "L2/L1", ""])
def test_a_disc_that_is_none_is_refused(name):
    with pytest.raises(InputError, match="L1/L2"):
        position_of(name)


def test_without_an_anchor_nothing_is_known():
    assert np.isnan(positions(np.arange(5.0), [])).all()


def test_one_anchor_shifts_the_standard_spine():
    at_discs = [1000 + 33.5, 1000.0, 1000 - 33.5, 1000 - 33.5 - 31.5]
    assert positions(at_discs, [(0, 1000.0)]) == pytest.approx([1, 0, -1, -2])
    assert positions([1000 - 33.5 / 4], [(0, 1000.0)]) == pytest.approx([-0.25])
    # whichever disc is the anchor
    assert positions(at_discs, [(-2, 1000 - 65.0)]) == pytest.approx([1, 0, -1, -2])


def test_every_disc_has_its_position_wherever_the_anchor_lies():
    heights = -np.array(list(DISC_HEIGHT_MM.values()))
    expected = [position_of(name) for name in DISCS]
    for name, height in zip(DISCS, heights, strict=True):
        found = positions(heights + 7.0, [(position_of(name), height + 7.0)])
        assert found == pytest.approx(expected), name


def test_two_anchors_stretch_between_and_beyond():
    # L1/L2 and L2/L3 ten per cent further apart than usual
    found = positions([-36.85 / 2, -36.85 - 1.1 * 31.5, 1.1 * 33.5], [(0, 0.0), (-1, -36.85)])
    assert found == pytest.approx([-0.5, -2, 1])


def test_between_far_anchors_discs_keep_their_standard_proportions():
    heights = -0.9 * np.array(list(DISC_HEIGHT_MM.values()))
    ends = [(position_of(name), heights[DISCS.index(name)]) for name in ("T12/L1", "L5/S1")]
    assert positions(heights, ends) == pytest.approx([position_of(name) for name in DISCS])


def test_three_anchors_bend_at_the_middle_one():
    anchors = [(1, 30.0), (-1, -40.0), (0, 0.0)]
    assert positions([30, 15, 0, -20, -40], anchors) == pytest.approx([1, 0.5, 0, -0.5, -1])
    # beyond: 67 mm of the standard spine are 70 mm here
    assert positions([30 + 31.5 * 70 / 67], anchors) == pytest.approx([2])


def test_beyond_the_table_the_last_distance_goes_on():
    assert positions([28.5, 57.0], [(5, 0.0)]) == pytest.approx([6, 7])
    assert positions([-20.0], [(position_of("S3/S4"), 0.0)]) == pytest.approx([-8])


def test_positions_rise_with_height_for_any_possible_anchors():
    random = np.random.default_rng(0)
    heights = -np.array(list(DISC_HEIGHT_MM.values()))
    for _ in range(50):
        chosen = np.sort(random.choice(len(DISCS), 4, replace=False))
        steps = np.diff(heights[chosen]) * random.uniform(0.65, 1.5, 3)
        seen = np.concatenate([[0.0], np.cumsum(steps)])
        anchors = [(position_of(DISCS[i]), mm) for i, mm in zip(chosen, seen, strict=True)]
        found = positions(np.linspace(-500, 300, 400), anchors)
        assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(
    ("anchors", "words"),
    [
        ([(0, 0.0), (-1, 35.0)], "L1/L2 and L2/L3.* 35 mm below"),
        ([(0, 0.0), (-1, -68.0)], "usually 34.*68 mm above"),
        ([(0, 0.0), (-1, -15.0)], "15 mm above"),
        ([(0, 0.0), (0, -1.0)], "one a disc"),
        ([(1, 30.0), (-1, -30.0), (0, 29.0)], "L1/L2 and L2/L3.* 59 mm above"),
    ],
)
def test_anchors_that_no_spine_can_have_are_refused(anchors, words):
    with pytest.raises(InputError, match=words):
        positions(np.zeros(1), anchors)
