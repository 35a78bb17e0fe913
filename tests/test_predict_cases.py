"""Predictions of whole data sets, with a predictor whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from nnunet_case import centreline, volume, write_case

from spinalroots.dataset.layout import FOREGROUND, UNTRAINED, Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.inference.predictor import Prediction
from spinalroots.predict.cases import predict_cases
from spinalroots.registry.anatomy import Scheme, Target


class Says:
    """A predictor that gives every voxel the same label."""

    name, target = "says", Target.of("levels")

    def __init__(self, label: int):
        self.label = label

    def predict(self, scan, centreline, runner=None):
        labels = np.full(scan.data.shape, self.label, np.uint8)
        return Prediction(scan.with_data(labels), scan.with_data(labels / 10))


@pytest.fixture
def project(tmp_path):
    source = Dataset(tmp_path / "raw")
    for seed, name in enumerate(("sub-01", "sub-02")):
        write_case(source, name, seed)
        centreline().write(tmp_path / "lines" / f"{name}.json")
    cases = dict.fromkeys(source.cases(), source)
    return SimpleNamespace(cases=cases, lines=tmp_path / "lines", out=tmp_path / "out")


def test_every_case_gets_its_maps_and_the_first_what_the_untrained_network_says(project):
    predict_cases(Says(9), project.cases, project.lines, project.out, untrained=Says(4))
    written = Dataset(project.out)
    for name in project.cases:
        assert set(np.unique(read_labels(written.labels(name, Scheme.LEVELS)).data)) == {9}
        assert read_image(written.map(name, FOREGROUND)).data.max() == pytest.approx(0.9, abs=0.01)
    assert set(np.unique(read_labels(written.map("sub-01", UNTRAINED)).data)) == {4}
    assert not written.map("sub-02", UNTRAINED).exists()


def test_what_is_to_be_done_also_is_done_after_each_answer(project):
    told = []
    predict_cases(
        Says(9), project.cases, project.lines, project.out, also=lambda *case: told.append(case)
    )
    assert [name for _, name, _, _ in told] == list(project.cases)
    predictor, name, scan, line = told[1]
    assert predictor.label == 9
    assert np.array_equal(scan.data, read_image(project.cases[name].image(name)).data)
    assert np.array_equal(line.points_mm, centreline().points_mm)


def test_two_processes_write_what_one_writes(project):
    predict_cases(Says(9), project.cases, project.lines, project.out)
    alone = {p.relative_to(project.out): p.read_bytes() for p in project.out.rglob("*.nii.gz")}
    predict_cases(Says(9), project.cases, project.lines, project.out, workers=2)
    beside = {p.relative_to(project.out): p.read_bytes() for p in project.out.rglob("*.nii.gz")}
    assert len(alone) == 4
    assert beside == alone


def test_what_was_predicted_before_stays_when_a_centreline_is_missing(project):
    predict_cases(Says(9), project.cases, project.lines, project.out)
    (project.lines / "sub-02.json").unlink()
    with pytest.raises(InputError, match="`centreline`"):
        predict_cases(Says(4), project.cases, project.lines, project.out)
    kept = read_labels(Dataset(project.out).labels("sub-01", Scheme.LEVELS))
    assert kept.data.shape == volume(0)[0].data.shape
    assert set(np.unique(kept.data)) == {9}
