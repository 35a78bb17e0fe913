"""The registry of models."""

from __future__ import annotations

import pytest

from spinalroots.errors import InputError
from spinalroots.registry.models import nnunet_row
from spinalroots.stages import predict_nnunet, prepare_nnunet, train_nnunet


@pytest.mark.parametrize("stage", [prepare_nnunet, train_nnunet, predict_nnunet])
@pytest.mark.parametrize(
    ("row", "told"),
    [
        (None, "Give one of these"),
        ("all-level", "Did you mean 'all-levels'"),
        ("nnunet-all-levels", "Did you mean 'all-levels'"),
        ("hardnet", "sacral-levels-alone"),
    ],
)
def test_a_missing_or_unknown_row_is_an_error_that_names_the_rows(stage, row, told, smoke_params):
    with pytest.raises(InputError, match=told):
        stage.main(smoke_params, row)


def test_a_row_is_the_model_of_its_name():
    assert nnunet_row("all-individuals-raw").name == "nnunet-all-individuals-raw"
