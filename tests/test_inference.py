"""From class probabilities to labels and doubt."""

import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.inference.predictor import decode, uncertainty
from spinalroots.registry.anatomy import Target

TARGET = Target.of("levels", "sacral")


def test_uncertainty_is_the_normalised_entropy():
    certain = [0.0, 1.0, 0.0, 0.0]
    even = [0.25, 0.25, 0.25, 0.25]
    coin = [0.5, 0.5, 0.0, 0.0]
    found = uncertainty(np.array([certain, even, coin]).T)
    assert found == pytest.approx([0, 1, 0.5], abs=1e-6)
    background = np.array([[0.9995], [0.0005], [0], [0]])
    assert uncertainty(background) == 0


def test_a_root_of_doubtful_level_is_uncertain_though_surely_a_root():
    sure, doubtful = [0.02, 0.98, 0.0, 0.0], [0.02, 0.49, 0.49, 0.0]
    known, unknown = uncertainty(np.array([sure, doubtful]).T)
    assert known < 0.1 < 0.5 < unknown


def test_entity_first_adds_the_roots_up_and_argmax_does_not():
    probabilities = np.array([[0.4], [0.35], [0.25], [0.0]])
    assert decode(probabilities, TARGET, "entity_first") == TARGET.values[0]
    assert decode(probabilities, TARGET, "argmax") == 0
    with pytest.raises(InputError, match="decoding"):
        decode(probabilities, TARGET, "majority")
