"""The split, followed into the stages that choose and calibrate: test cases never have a say.

That no model learnt from one is held on a real run, in `test_pipeline.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spinalroots.dataset.layout import Dataset
from spinalroots.files import write_json
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.stages import appearance, quantize

SPLIT = {
    "train": ["sub-ph001", "sub-ph004"],
    "validation": ["sub-ph002"],
    "test": ["sub-ph003", "sub-ph005"],
}


@pytest.fixture
def knobs(tmp_path, monkeypatch, smoke_params):
    """A project of five scans in a temporary folder, and its parameters."""
    monkeypatch.chdir(tmp_path)
    write_json(Path("data/split.json"), SPLIT)
    scan = Volume(np.zeros((4, 4, 4), np.float32), np.eye(4))
    for name in (name for part in SPLIT.values() for name in part):
        write_volume(Dataset(Path("data/raw/phantom")).image(name), scan)
    return smoke_params


def test_exports_are_calibrated_on_training_and_chosen_on_validation_cases(knobs, monkeypatch):
    class Model:
        def predictor(self):
            return None

    calibrated = []
    monkeypatch.setattr(quantize, "Comparison", lambda *_, **given: given)
    monkeypatch.setattr(
        quantize, "calibration_inputs", lambda _, scans, *others: calibrated.extend(scans)
    )
    given = quantize._comparison(knobs, Model(), Path("export"), SPLIT)
    assert [case.name for case in given["judges"]] == SPLIT["validation"]
    assert {case.name for case in given["tests"]} <= set(SPLIT["test"])
    assert {line.stem for _, line in calibrated} == set(SPLIT["train"])


def test_what_scans_usually_look_like_is_known_from_training_cases(knobs, monkeypatch):
    seen = []
    monkeypatch.setattr(
        appearance, "each", lambda work, jobs, *_: seen.extend(jobs) or [{} for _ in jobs]
    )
    monkeypatch.setattr(appearance.appearance, "write", lambda *_: None)
    appearance.main(knobs)
    assert sorted(case.name for (case,) in seen) == SPLIT["train"]
