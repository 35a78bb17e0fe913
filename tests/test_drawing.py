"""What is drawn, given how likely each voxel is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinalroots.hardnet.anatomy.classes import CORD, CSF, ROOT
from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.hardnet.anatomy.prediction import drawn_tissues, largest_cord
from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor, Chances
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.doubt import Temperatures
from spinalroots.inference.drawing import dice_cut, drawn_names, likeliest_names
from spinalroots.inference.predictor import Prediction
from spinalroots.metrics.overlap import dice
from spinalroots.pipeline.params import load
from spinalroots.predict.writing import doubts
from spinalroots.registry.anatomy import ROOT_TISSUE


@pytest.mark.parametrize("sureness", [0.3, 1.0, 3.0])
def test_no_other_cut_has_a_higher_dice_than_the_one_expected_to(sureness):
    """Against truths drawn from the chances, a thousand voxels a time."""
    rng = np.random.default_rng(0)
    chances = 1 / (1 + np.exp(-sureness * rng.normal(-2, 1.5, 1000)))
    truths = [rng.random(1000) < chances for _ in range(400)]

    def reached(cut: float) -> float:
        return float(np.mean([dice(truth, chances >= cut) for truth in truths]))

    best = max(np.arange(0.02, 0.9, 0.01), key=reached)
    cut = dice_cut(chances)
    assert reached(cut) > reached(best) - 0.002
    assert cut == pytest.approx(reached(cut) / 2, abs=0.03)  # Lipton 2014, theorem 1


def test_the_surer_the_nearer_to_one_half():
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 2, 5000)
    vague, sure = (dice_cut(1 / (1 + np.exp(-scale * logits))) for scale in (0.3, 5))
    assert vague < 0.35 < 0.42 < sure <= 0.5


def test_where_nothing_is_likely_nothing_is_drawn():
    assert dice_cut(np.full((3, 3), 0.001)) == 1.0
    nothing = np.zeros((3, 0))
    assert likeliest_names(nothing).shape == drawn_names(nothing, nothing[:-1]).shape == (0,)


def test_a_name_is_drawn_where_it_is_likelier_than_none_or_its_mask_gains():
    # The second name is never likelier than none: its mask would be empty.
    roots = np.array(
        [[0.9, 0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.45, 0.4, 0.1], [0, 0, 0.55, 0.6, 0.9]]
    )
    roots[2, :2] = 0.1, 0.2
    assert likeliest_names(roots).tolist() == [1, 1, 0, 0, 0]
    assert drawn_names(roots, roots[:-1]).tolist() == [1, 1, 2, 2, 0]


def test_roots_and_cord_are_drawn_where_asked_and_the_rest_is_what_is_likeliest():
    chances = np.zeros((4, 1, 1, 3))
    chances[[CSF, ROOT], 0, 0, 0] = 0.55, 0.45
    chances[[CORD, CSF, ROOT], 0, 0, 1] = 0.34, 0.31, 0.35
    chances[ROOT, 0, 0, 2] = 1
    assert largest_cord(chances)[0, 0].tolist() == [CSF, ROOT, ROOT]
    roots, all_of_it = chances[ROOT] >= 0.4, np.ones((1, 1, 3), bool)
    assert drawn_tissues(chances, roots, all_of_it)[0, 0].tolist() == [ROOT, CORD, ROOT]
    assert drawn_tissues(chances, roots, ~all_of_it)[0, 0].tolist() == [ROOT, CSF, ROOT]


def test_a_cord_that_the_cut_takes_apart_is_drawn_on_both_sides():
    chances = np.zeros((4, 1, 1, 7))
    chances[CORD], chances[CSF] = 0.8, 0.2
    chances[[CORD, CSF], 0, 0, 4] = 0.52, 0.48
    drawn = drawn_tissues(chances, np.zeros((1, 1, 7), bool), chances[CORD] >= 0.55)
    assert drawn[0, 0].tolist() == [CORD] * 4 + [CSF] + [CORD] * 2


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    params = load("params.yaml")
    own = params.anatomy.model_copy(update={"preset": "tiny"})
    network = AnatomyNetwork(own).eval()
    return AnatomyPredictor.of(network, own, params.inference.anatomy, "hardnet-anatomy")


def test_the_cut_and_the_way_names_are_drawn_are_settings(predictor, monkeypatch):
    shape, names = (2, 2, 3), len(predictor.target.values)
    tissues, roots = np.zeros((4, *shape)), np.zeros((names + 1, *shape))
    tissues[ROOT, 0, 0] = 0.9, 0.6, 0.42
    tissues[CSF] = 1 - tissues[ROOT]
    roots[1, 0, 0] = 0.46, 0.28, 0  # the second name
    roots[-1] = tissues[ROOT] - roots[1]
    box = tuple(slice(0, size) for size in shape)
    monkeypatch.setattr(AnatomyPredictor, "chances", lambda *_: Chances(tissues, roots, box, None))
    scan = Volume(np.zeros(shape, np.float32), np.eye(4))
    line = Centreline(np.array([[0.0, 0, 0], [0, 0, 2]]), "test")

    def found(**settings):
        inference = predictor.inference.model_copy(update=settings)
        got = replace(predictor, inference=inference).predict(scan, line)
        seen = (got.tissues.data == ROOT_TISSUE)[0, 0].tolist()
        return seen, (got.labels.data[0, 0] > 0).tolist(), got.name_chance.data[0, 0]

    assert found(root_cut=0.5, naming="argmax")[0] == [True, True, False]
    seen, named, sure = found(root_cut=0.4, naming="argmax")
    assert (seen, named) == ([True, True, True], [True, False, False])
    # The chance that what was said is right: of the name, and of there being none.
    np.testing.assert_allclose(sure, [0.46 / 0.9, 0.32 / 0.6, 1], atol=1e-4)
    seen, named, sure = found(root_cut=0.4, naming="dice")
    assert (seen, named) == ([True, True, True], [True, True, False])
    np.testing.assert_allclose(sure, [0.46 / 0.9, 0.28 / 0.6, 1], atol=1e-4)
    assert found(root_cut=0.43)[0] == [True, True, False]
    # At a temperature of 2, odds of 42 to 58 become those of their square roots: 0.46.
    monkeypatch.setattr(predictor, "temperatures", Temperatures(root=2.0))
    assert found(root_cut=0.43)[0] == [True, True, True]


def test_doubt_of_root_is_about_all_roots_where_tissues_tell_of_them():
    def whole(*values):
        return Volume(np.array(values).reshape(1, 1, -1), np.eye(4))

    labels, root = whole(np.uint8(0), np.uint8(0)), whole(np.float32(0.75), np.float32(0.25))
    tissues = whole(np.uint8(ROOT_TISSUE), np.uint8(0))
    seen = doubts(Prediction(labels, root, tissues=tissues))["root_uncertainty"]
    assert seen.data.ravel().tolist() == [0.25, 0.25]
    named = doubts(Prediction(labels, root))["root_uncertainty"]
    assert named.data.ravel().tolist() == [0.75, 0.25]


def test_a_model_without_the_settings_takes_one_half_and_the_likeliest_names():
    before = load("params.yaml").inference.anatomy.model_dump()
    for name in ("root_cut", "cord_cut", "naming"):
        del before[name]
    old = type(load("params.yaml").inference.anatomy).model_validate(before)
    assert (old.root_cut, old.cord_cut, old.naming) == (0.5, 0.0, "argmax")
