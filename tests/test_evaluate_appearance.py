"""A scan among its like raises no warning; one that differs in a known way is told so by name."""

import json

import numpy as np
import pytest

from spinalroots.files import write_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.centreline_image import trace
from spinalroots.imaging.volume import Volume, read_image, write_volume
from spinalroots.quality import appearance, plausibility
from spinalroots.stages import appearance as stage

SHAPE, EDGES = (40, 44, 60), (1.2, 1.2, 1.5)


def scan(seed, *, noise=0.03, sac=1.0, around=0.2, radius_mm=8.5, cord_slices=25, edges=EDGES):
    """A straight bright sac with a dark cord in its upper slices, in noise; fluid has 1000."""
    rng = np.random.default_rng(seed)
    right = (np.arange(SHAPE[0]) - SHAPE[0] / 2) * edges[0]
    front = (np.arange(SHAPE[1]) - SHAPE[1] / 2) * edges[1]
    distance = np.hypot(right[:, None], front[None])
    inside = 1 / (1 + np.exp((distance - radius_mm * rng.uniform(0.98, 1.02)) / 0.6))
    plane = around + (sac - around) * inside
    data = np.repeat(plane[:, :, None], SHAPE[2], axis=2)
    if cord_slices:
        data[:, :, -cord_slices:][distance < 4] *= 0.4
    data += rng.normal(0, noise * rng.uniform(0.9, 1.1), SHAPE)
    # air at the edge of the image: the zero of the grey values
    data[:2] = 0
    return Volume((1000 * data).astype(np.float32), np.diag([*edges, 1.0]))


def line(volume):
    x, y, z = (np.array(SHAPE) / 2) * volume.spacing_mm
    return Centreline(np.array([[x, y, 0.0], [x, y, 2 * z]]), "truth")


@pytest.fixture(scope="module")
def training():
    return {
        str(seed): appearance.measure(one, line(one))
        for seed, one in enumerate(scan(seed) for seed in range(5))
    }


def named(volume, training):
    found = plausibility.unlike_training(appearance.measure(volume, line(volume)), training)
    json.dumps(found, allow_nan=False)
    assert {one["kind"] for one in found} <= {"unlike_training"}
    return {one["label"] for one in found}


def test_a_scan_among_its_like_has_no_warning(training):
    for seed in range(100, 106):
        assert named(scan(seed), training) == set()


def test_neither_scale_nor_zero_of_the_grey_values_matters(training):
    one = scan(100)
    assert named(one.with_data(one.data * 0.003 - 12), training) == set()


def test_each_departure_is_named(training):
    assert "noise" in named(scan(1, noise=0.15), training)
    assert "contrast" in named(scan(1, around=0.6), training)
    assert "sac_width_mm" in named(scan(1, radius_mm=5.5), training)
    assert named(scan(1, cord_slices=0), training) == {"cord_share"}
    one = scan(1)
    inverted = one.with_data(one.data.max() - one.data)
    assert "contrast" in named(inverted, training)
    thick = Volume(one.data[:, :, ::3], one.affine @ np.diag([1, 1, 3, 1.0]))
    assert named(thick, training) == {"slice_mm"}
    coarse = Volume(one.data[::2, ::2], one.affine @ np.diag([2, 2, 1, 1.0]))
    assert "in_plane_mm" in named(coarse, training)
    short = one.crop((slice(None), slice(None), slice(25, 45)))
    assert "length_mm" in named(short, training)


def test_a_message_names_the_value_and_the_training_range(training):
    one = scan(1)
    thick = Volume(one.data[:, :, ::3], one.affine @ np.diag([1, 1, 3, 1.0]))
    (found,) = plausibility.unlike_training(appearance.measure(thick, line(thick)), training)
    assert found["message"] == (
        "The slice thickness is 4.5 mm; in the training scans it is 1.5 to 1.5 mm."
    )
    assert (found["value"], found["limit"], found["unit"]) == (4.5, 1.875, "mm")


def test_known_values_are_measured():
    found = appearance.measure(scan(3), line(scan(3)))
    assert found["in_plane_mm"] == pytest.approx(1.2)
    assert found["slice_mm"] == pytest.approx(1.5)
    assert found["length_mm"] == pytest.approx(90)
    assert found["noise"] == pytest.approx(0.03, rel=0.15)
    assert found["contrast"] == pytest.approx(0.8 / 1.2, abs=0.05)
    assert found["sac_width_mm"] == pytest.approx(17, abs=1)
    assert found["cord_share"] == pytest.approx(25 / 60, abs=0.04)


def test_what_cannot_be_measured_is_a_warning_and_valid_json(training):
    flat = Volume(np.zeros((3, 3, 3), np.float32), np.diag([9.0, 9.0, 9.0, 1.0]))
    assert {"noise", "contrast", "cord_share"} <= named(flat, training)


def test_a_range_is_widened_by_its_own_width_or_by_the_slack():
    ratio = appearance.Feature("a", "a", "", 1.25)
    assert ratio.allowed([1.0, 2.0]) == pytest.approx((0.5, 4.0))
    assert ratio.allowed([1.0]) == pytest.approx((0.8, 1.25))
    plain = appearance.Feature("a", "a", "", 0.1, ratio=False)
    assert plain.allowed([0.2, 0.5]) == pytest.approx((-0.1, 0.8))


def test_the_stage_records_training_cases_only_and_reads_back(tmp_path, monkeypatch, smoke_params):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        case, one = f"sub-ph00{number}", scan(number)
        write_volume(tmp_path / f"data/raw/phantom/{case}/anat/{case}_T2w.nii.gz", one)
        line(one).write(tmp_path / f"data/centreline/raw/{case}.json")
    write_json(
        tmp_path / "data/split.json",
        {"train": ["sub-ph003", "sub-ph001"], "validation": [], "test": ["sub-ph002"]},
    )
    stage.main(smoke_params.model_copy(update={"workers": 1}))
    kept = appearance.read(tmp_path / "models/appearance.json")
    assert list(kept) == ["sub-ph001", "sub-ph003"]
    expected = appearance.measure(scan(3), line(scan(3)))
    assert kept["sub-ph003"] == pytest.approx(expected, rel=1e-3)


def test_real_scans_are_unlike_thick_straight_tubes_and_say_why(real_scans, training):
    for path in real_scans.values():
        volume = read_image(path)
        measured = appearance.measure(volume, trace(volume))
        assert all(np.isfinite(list(measured.values())))
        assert 12 < measured["sac_width_mm"] < 22
        assert plausibility.unlike_training(measured, training)
