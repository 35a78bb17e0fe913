"""How high each level runs: learnt from persons whose ends are known, and used where it is unclear
which level a root is."""

import json

import numpy as np
import pytest
import torch
from test_hardnet_anatomy import SETTINGS

from spinalroots.hardnet.anatomy.courses import Courses
from spinalroots.hardnet.anatomy.extents import Extents, learned
from spinalroots.hardnet.anatomy.naming import BELOW, LEVEL_CLASSES
from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor
from spinalroots.hardnet.anatomy.sampling import Stack
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import REFINED_LEVELS, Root

HEIGHTS_MM = np.arange(-120.0, 121.0)
LOW = np.linspace(90, -90, 11)
"""Every 18 mm a level, 20 mm long; a person's spread is 10 mm."""
EXTENTS = Extents(
    lowest_mm=LOW.tolist(),
    highest_mm=(LOW + 20).tolist(),
    lowest_step_mm=[10.0] * 11,
    highest_step_mm=[10.0] * 11,
)


def person(moved_mm: float, *, cord: bool = True) -> Stack:
    """Every level dorsal on the left; ventral roots go all the way."""
    roots = np.zeros((11, 2, len(HEIGHTS_MM)), np.uint8)
    for column, (name, low) in enumerate(zip(REFINED_LEVELS, LOW + moved_mm, strict=True)):
        z = (low <= HEIGHTS_MM) & (low + 20 >= HEIGHTS_MM)
        roots[column, 0, z] = Root.parse(f"{name}_D_L").value
        roots[column, 1] = Root.parse(f"{name}_V_L").value
    heights = HEIGHTS_MM if cord else HEIGHTS_MM * np.nan
    coordinates = np.stack([heights + 5, heights, heights])
    return Stack(roots, roots, roots, roots > 0, coordinates)


def test_the_mean_person_and_how_persons_differ_are_learnt():
    found = learned([person(-6), person(4), person(8), person(50, cord=False)])
    np.testing.assert_allclose(found.lowest_mm, LOW + 2, atol=0.6)  # whole millimetres
    np.testing.assert_allclose(found.highest_mm, LOW + 22, atol=0.6)
    spread = np.std([-6, 4, 8])  # of all ends alike
    np.testing.assert_allclose(found.lowest_step_mm, spread, atol=0.6)
    np.testing.assert_allclose(found.highest_step_mm, spread, atol=0.6)


def test_too_few_persons_teach_nothing():
    assert learned([person(0)]) is None
    assert learned([person(0, cord=False), person(3, cord=False)]) is None
    assert learned([]) is None
    first = Root.parse(f"{REFINED_LEVELS[0]}_D_L").value
    without = [
        one._replace(roots=np.where(one.roots == first, 0, one.roots))
        for one in (person(0), person(5))
    ]
    assert learned(without) is None


def test_levels_are_where_they_lie_in_a_person_who_is_moved():
    there = EXTENTS.there(np.array([-200.0, 10.0, 20.0, 29.9, 200.0]), moved=1.0, edge_mm=0.1)
    # Level 5 runs from 90 - 4 * 18 + 10 = 28 to 48, level 6 from 10 to 30, level 7 from -8 to 12.
    assert there[6].round(2).tolist() == [0.02, 0.51, 1.0, 0.74, 0.02]
    assert there[5].round(2).tolist() == [0.02, 0.02, 0.02, 1.0, 0.02]
    assert there[7].round(2).tolist() == [0.02, 1.0, 0.02, 0.02, 0.02]
    assert there[0].round(2).tolist() == [0.02, 0.02, 0.02, 0.02, 1.0]
    assert there[BELOW].round(2).tolist() == [1.0, 0.02, 0.02, 0.02, 0.02]


def astray():
    """Roots of a person 12 mm higher than the mean: the lower levels surely named, the upper ones
    a little as their upper neighbours."""
    root = np.zeros((30, 6, len(HEIGHTS_MM)), np.float32)
    true = np.zeros(root.shape, int)
    for level in range(1, BELOW):
        low = LOW[level - 1] + 12
        z = (low <= HEIGHTS_MM) & (low + 20 >= HEIGHTS_MM)
        root[2 * level : 2 * level + 2, 2:4, z], true[2 * level : 2 * level + 2, 2:4, z] = 1, level
    asked = np.nonzero(root)
    level = true[asked]
    evidence = np.zeros((LEVEL_CLASSES + 2, len(level)), np.float32)
    evidence[level, np.arange(len(level))] = np.where(level < 5, 3, 6)
    evidence[level[level < 5] - 1, np.flatnonzero(level < 5)] = 3.5
    evidence[-2:] = -4
    return root, asked, level, evidence


@pytest.mark.parametrize(
    ("heights_mm", "right"), [(HEIGHTS_MM, True), (HEIGHTS_MM * np.nan, False)]
)
def test_sure_levels_say_which_their_neighbours_are(heights_mm, right):
    root, asked, level, evidence = astray()
    assert (evidence[:13].argmax(axis=0) == level).tolist() == (level >= 5).tolist()
    courses = Courses(0.64, 0.8, 1.0, EXTENTS, edge_mm=2.0)
    agreed = courses.followed(evidence, asked, root, heights_mm)
    share = (agreed[:13].argmax(axis=0) == level)[level < 5].mean()
    assert share > 0.8 if right else share < 0.05  # where two extents overlap, they say nothing


def test_a_model_carries_its_extents_and_an_older_one_has_none(tmp_path):
    torch.manual_seed(0)
    squares = SETTINGS.model_copy(update={"preset": "tiny"})
    inference = params.load().inference.anatomy
    network = AnatomyNetwork(squares).eval()
    AnatomyPredictor.of(network, squares, inference, "a", EXTENTS).save(tmp_path)
    assert AnatomyPredictor.load(tmp_path, inference=inference).extents == EXTENTS
    described = tmp_path / "model.json"
    record = json.loads(described.read_text())
    del record["extents"]
    described.write_text(json.dumps(record))
    assert AnatomyPredictor.load(tmp_path, inference=inference).extents is None
