"""From class probabilities to labels."""

import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.inference.predictor import decode
from spinalroots.registry.anatomy import Target

TARGET = Target.of("levels", "sacral")


def test_entity_first_adds_the_roots_up_and_argmax_does_not():
    probabilities = np.array([[0.4], [0.35], [0.25], [0.0]])
    assert decode(probabilities, TARGET, "entity_first") == TARGET.values[0]
    assert decode(probabilities, TARGET, "argmax") == 0
    with pytest.raises(InputError, match="decoding"):
        decode(probabilities, TARGET, "majority")
