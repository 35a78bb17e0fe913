"""The 3D model against the truth, as a table."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from spinalroots.reconstruct.accuracy import COLUMNS, summary


def test_masks_without_any_root_have_a_row_of_their_own():
    empty = dict.fromkeys(COLUMNS, np.nan) | {"case": "a", "masks": "predicted", "found": False}
    there = dict.fromkeys(COLUMNS, 1.0) | {"case": "a", "masks": "true", "found": True}
    rows = [there | {"root": "L3_D_L", "entry_level": "L3"}, empty | {"root": "L3_D_L"}]
    table = pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))  # as the report has it
    of_true, of_predicted = summary(table).to_dict("records")
    assert of_true["entry_level_right"] == pytest.approx(1.0)
    assert (of_predicted["roots"], of_predicted["found"]) == (1, 0)
    assert np.isnan(of_predicted["length_error"])
