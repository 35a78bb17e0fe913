"""Squares around the centreline: cut where they should be, and put back exactly."""

import numpy as np
import pytest

from spinalroots.imaging import slices
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.resample import resample_axis
from spinalroots.imaging.volume import Volume


def _volume(shape=(24, 26, 9), spacing=(1.0, 1.0, 2.0)):
    data = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-7.0, 4.0, -30.0)
    return Volume(data, affine)


def _line(volume, start, end):
    """Centreline through the voxels `start` in the first and `end` in the last axial slice."""
    share = np.linspace(0, 1, volume.data.shape[2])[:, None]
    voxels = (1 - share) * np.asarray(start, float) + share * np.asarray(end, float)
    voxels = np.column_stack([voxels, np.arange(volume.data.shape[2])])
    return Centreline.from_slices(voxels, volume.affine, "truth")


def test_a_square_holds_the_voxels_around_the_centreline():
    volume = _volume()
    line = _line(volume, (8.1, 9.1), (14.1, 15.1))
    squares = slices.place(volume.grid, line, size_mm=7)
    values = slices.cut(volume.data, squares)
    middle = line.in_slices(volume.grid)
    for z in range(volume.data.shape[2]):
        x, y = np.rint(middle[z]).astype(int)
        assert np.array_equal(values[:, :, z], volume.data[x - 3 : x + 4, y - 3 : y + 4, z])


def test_the_way_back_reproduces_an_unpadded_volume_exactly():
    volume = _volume(shape=(20, 20, 9))
    line = _line(volume, (9.5, 9.5), (9.5, 9.5))
    squares = slices.place(volume.grid, line, size_mm=20)
    values = slices.cut(volume.data, squares)
    assert squares.inside().all()
    assert np.array_equal(slices.restore(values, squares), volume.data)


def test_the_way_back_reproduces_every_voxel_that_a_padded_square_holds():
    volume = _volume()
    line = _line(volume, (1, 2), (23, 24))
    squares = slices.place(volume.grid, line, size_mm=12)
    values = slices.cut(volume.data, squares, fill=np.nan)
    assert np.array_equal(np.isnan(values), ~squares.inside())
    back = slices.restore(values, squares, fill=np.nan)
    held = ~np.isnan(back)
    assert held.sum() == squares.inside().sum()
    assert np.array_equal(back[held], volume.data[held])


def test_a_square_wholly_outside_the_scan_is_padding():
    volume = _volume()
    line = _line(volume, (-40, 10), (90, 10))
    squares = slices.place(volume.grid, line, size_mm=8)
    values = slices.cut(volume.data, squares, fill=-5)
    assert (values[:, :, 0] == -5).all()
    assert (values[:, :, -1] == -5).all()
    assert slices.restore(values, squares).shape == volume.data.shape


def test_labels_survive_a_change_of_voxel_size_and_probabilities_keep_their_classes():
    volume = _volume(spacing=(0.6, 0.9, 2.0))
    labels = np.zeros(volume.data.shape, np.uint8)
    labels[8:16, 9:17] = 93
    line = _line(volume, (12, 13), (12, 13))
    squares = slices.place(volume.grid, line, size_mm=12.0, voxel_mm=0.5)
    cut = slices.cut(labels, squares, labels=True)
    assert set(np.unique(cut)) == {0, 93}
    assert cut.dtype == np.uint8
    back = slices.restore(cut, squares, labels=True)
    assert (back == labels).mean() > 0.99
    probabilities = np.stack([cut == 0, cut == 93]).astype(np.float32)
    both = slices.restore(probabilities, squares)
    assert both.shape == (2, *labels.shape)
    inside = both.sum(axis=0) > 0.999
    assert np.array_equal(both.argmax(axis=0)[inside] == 1, (back == 93)[inside])


def test_resampling_keeps_a_straight_ramp_and_copies_equal_voxels():
    ramp = np.linspace(0, 1, 40, dtype=np.float32)[:, None, None]
    fine = resample_axis(ramp, 0, 1.0, 0.5)
    assert len(fine) == 80
    inner = (np.arange(2, 78) + 0.5) / 2 - 0.5
    assert np.allclose(fine[2:78, 0, 0], inner / 39, atol=1e-6)
    assert resample_axis(ramp, 0, 1.0, 1.0) is ramp


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("wanted_mm", [0.4, 2.6])
def test_each_axis_is_resampled_as_a_line_by_itself(axis, wanted_mm):
    data = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    found = resample_axis(data, axis, 1.0, wanted_mm)

    def line(values):
        reach, count = max(1.0, wanted_mm), len(values)
        centres = np.clip((np.arange(found.shape[axis]) + 0.5) * wanted_mm - 0.5, 0, count - 1)
        weights = np.maximum(0, 1 - np.abs(np.arange(count) - centres[:, None]) / reach)
        return [np.average(values, weights=one) for one in weights]

    np.testing.assert_allclose(found, np.apply_along_axis(line, axis, data), atol=1e-5)
