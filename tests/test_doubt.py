"""How sure a prediction is: both questions, and the temperatures that make chances frequencies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from spinalroots.hardnet.anatomy.classes import ROOT_LABEL, ROOT_OUTSIDE_LABEL
from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor, Chances
from spinalroots.hardnet.anatomy.sureness import answers, temperatures
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.doubt import (
    FEWEST,
    Temperatures,
    name_chance,
    name_doubt,
    root_chance,
    root_doubt,
    temperature,
)
from spinalroots.metrics.calibration import reliability
from spinalroots.pipeline.params import load
from spinalroots.registry.anatomy import Root, Scheme, Target


def drawn(true: float, classes: int, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Chances (classes, N) of a network that is surer than it may be by the factor `true`, and
    what then is so: drawn from the honest chances."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (classes, count))
    truth = (softmax(honest, axis=0).cumsum(axis=0) < rng.random(count)).sum(axis=0)
    return softmax(true * honest, axis=0), truth.clip(max=classes - 1)


@pytest.mark.parametrize("classes", [2, 12])
@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_the_temperature_is_by_how_much_a_network_is_too_sure(true, classes):
    assert temperature(*drawn(true, classes)) == pytest.approx(true, rel=0.05)


def test_with_its_temperature_a_chance_is_a_frequency():
    chances, truth = drawn(2.5, 12)
    right = chances.argmax(axis=0) == truth
    before = reliability(name_chance(chances), right).expected_error
    after = reliability(name_chance(chances, temperature(chances, truth)), right).expected_error
    assert after < 0.02 < 0.1 < before


def test_too_few_voxels_fit_nothing():
    chances, truth = drawn(2.5, 2, FEWEST - 1)
    assert temperature(chances, truth) == 1.0
    assert temperatures([]) == Temperatures()


def test_no_temperature_turns_an_answer_over():
    chances = np.linspace(0, 1, 101)
    for heat in (0.3, 1.0, 4.0):
        found = root_chance(chances, heat)
        np.testing.assert_array_equal(found > 0.5, chances > 0.5)
        assert found[[0, 50, 100]].tolist() == [0, 0.5, 1]
    rounded = np.float32([-1e-7, 1 + 1e-6])  # as an interpolation leaves them
    assert root_chance(rounded, 2.0).tolist() == [0, 1]


def test_a_name_is_asked_for_only_where_a_root_was_seen():
    roots = np.array([[0.3, 0.6, 0.0], [0.1, 0.2, 0.0]])  # two names; no root is seen in the first
    np.testing.assert_allclose(name_chance(roots), [0, 0.75, 0], atol=1e-6)
    np.testing.assert_allclose(name_doubt(name_chance(roots)), [0, 0.25, 0], atol=1e-6)
    # 0.75 and 0.25 have odds of 3; half their logarithm is the root of it.
    odds = np.sqrt(3)
    assert name_chance(roots, 2.0)[1] == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_a_voxel_is_as_doubtful_as_its_answer_is_likely_wrong():
    chances, drawn = np.array([0.0, 0.3, 0.4, 0.9]), np.array([False, False, True, True])
    assert root_doubt(chances, drawn).tolist() == pytest.approx([0, 0.3, 0.6, 0.1])


def test_answers_leave_out_what_says_nothing_and_know_roots_without_a_name():
    target = Target(Scheme.LEVELS, other_roots=True)
    anatomy = np.array([0, ROOT_LABEL, ROOT_LABEL, ROOT_LABEL, ROOT_OUTSIDE_LABEL, ROOT_LABEL])
    named = [None, Root.parse("L3_D_L"), Root.parse("L3_V_L"), Root.parse("S3_D_R"), None, None]
    individuals = np.array([one.value if one else 0 for one in named])
    individuals[4] = individuals[5] = Root.parse("S5_D_L").value
    chance = np.array([0.2, 0.9, 0.8, 0.001, 0.9, 0.7])  # the fourth is missed outright
    tissues = np.zeros((4, 1, 1, 6), np.float32)
    tissues[3, 0, 0] = chance
    roots = np.random.default_rng(0).random((len(target.values) + 1, 1, 1, 6))
    line = (slice(0, 1), slice(0, 1), slice(0, 6))
    found = answers(
        Chances(tissues, roots, line, None), target, anatomy[None, None], individuals[None, None]
    )
    assert found.is_root.tolist() == [0, 1, 1, 1]
    np.testing.assert_allclose(found.root_chances[1], chance[[0, 1, 2, 5]])
    no_name = len(target.values)
    assert found.name.tolist() == [target.names.index("L3"), no_name, no_name]
    np.testing.assert_array_equal(found.name_chances, roots[:, 0, 0, [1, 2, 5]])


def test_temperatures_travel_with_the_model(tmp_path):
    torch.manual_seed(0)
    params = load("params.yaml")
    own = params.anatomy.model_copy(update={"preset": "tiny"})
    inference = params.inference.anatomy
    plain = AnatomyPredictor.of(AnatomyNetwork(own).eval(), own, inference, "hardnet-anatomy")
    replace(plain, temperatures=Temperatures(root=2.0, name=3.0)).save(tmp_path)
    warm = AnatomyPredictor.load(tmp_path, inference=inference)
    data = np.random.default_rng(0).uniform(0, 0.2, (40, 40, 20)).astype(np.float32)
    data[14:26, 14:26] += 1
    scan = Volume(data, np.diag([1.0, 1.0, 3.0, 1.0]))
    line = Centreline(np.array([[20.0, 20.0, 0.0], [20.0, 20.0, 57.0]]), "test")
    assert warm.temperatures == Temperatures(root=2.0, name=3.0)
    cold, found = plain.predict(scan, line), warm.predict(scan, line)
    seen = (cold.foreground.data > 0) & (cold.foreground.data < 1)
    assert seen.any()
    expected = root_chance(cold.foreground.data[seen], 2.0)
    np.testing.assert_allclose(found.foreground.data[seen], expected, atol=1e-6)
