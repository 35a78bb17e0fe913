"""Which cases a network learns from: a variant goes where its parent goes."""

from __future__ import annotations

import pytest
from nnunet_case import TEST, TRAINING, write_inputs

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases, with_map
from spinalroots.registry.anatomy import Scheme


@pytest.fixture
def datasets(tmp_path) -> list[Dataset]:
    write_inputs(tmp_path)
    return [Dataset(tmp_path / "data" / "refined"), Dataset(tmp_path / "data" / "augmented")]


def test_no_test_case_enters_not_even_augmented(datasets):
    found = training_cases(TRAINING, datasets)
    assert [case.name for case in found] == ["sub-01", "sub-02", "sub-01aug01"]
    assert {case.parent for case in found}.isdisjoint(TEST)


def test_a_case_without_the_map_is_left_out_and_named(datasets):
    datasets[0].labels("sub-02", Scheme.INDIVIDUALS).unlink()
    found, lacking = with_map(training_cases(TRAINING, datasets[:1]), Scheme.INDIVIDUALS)
    assert [case.name for case in found] == ["sub-01"]
    assert lacking == ["sub-02"]
