import itertools

import nibabel as nib
import numpy as np
import pytest

from spinalroots.errors import InputError
from spinalroots.imaging.volume import (
    Grid,
    Volume,
    read_image,
    read_labels,
    require_same_grid,
    write_probability,
    write_volume,
)

ORIENTATIONS = [
    "".join(codes)
    for order in itertools.permutations(range(3))
    for codes in itertools.product(*[("RL", "AP", "SI")[axis] for axis in order])
]


def in_orientation(scan: Volume, codes: str) -> nib.Nifti1Image:
    image = nib.Nifti1Image(scan.data, scan.affine)
    start = nib.io_orientation(scan.affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
    return image.as_reoriented(turn)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_reads_as_ras_and_goes_back_to_its_own_grid(codes, small_scan, tmp_path):
    stored = in_orientation(small_scan, codes)
    nib.save(stored, tmp_path / "scan.nii.gz")
    scan = read_image(tmp_path / "scan.nii.gz")
    assert np.array_equal(scan.data, small_scan.data)
    assert np.allclose(scan.affine, small_scan.affine, atol=1e-4)
    assert scan.native.orientation == codes

    write_volume(tmp_path / "back.nii.gz", scan, native=scan.native)
    back = nib.load(tmp_path / "back.nii.gz")
    assert back.shape == stored.shape
    assert np.allclose(back.affine, stored.affine, atol=1e-5)
    assert np.array_equal(np.asarray(back.dataobj), np.asarray(stored.dataobj))


def test_the_same_voxels_give_the_same_bytes(small_scan, tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, small_scan)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_probability_map_reads_back_as_probabilities(small_scan, tmp_path):
    chances = np.linspace(0, 1, small_scan.data.size).reshape(small_scan.data.shape)
    write_probability(tmp_path / "p.nii.gz", small_scan.with_data(chances))
    assert nib.load(tmp_path / "p.nii.gz").get_data_dtype() == np.uint8
    assert np.abs(read_image(tmp_path / "p.nii.gz").data - chances).max() <= 0.5 / 255 + 1e-6


def test_a_crop_keeps_every_voxel_where_it_was(small_scan):
    part = small_scan.crop((slice(2, 5), slice(1, 9), slice(3, 7)))
    for voxel in itertools.product(range(3), range(8), range(4)):
        in_part = part.affine @ [*voxel, 1]
        in_whole = small_scan.affine @ [*np.add(voxel, (2, 1, 3)), 1]
        assert np.allclose(in_part, in_whole)
        assert part.data[voxel] == small_scan.data[tuple(np.add(voxel, (2, 1, 3)))]


def test_grids_differ_by_half_a_voxel_but_not_by_rounding(small_scan):
    grid = small_scan.grid
    shifted, rounded = grid.affine.copy(), grid.affine.astype(np.float32).astype(float)
    shifted[0, 3] += 0.4
    assert grid.matches(Grid(grid.shape, rounded))
    assert not grid.matches(Grid(grid.shape, shifted))
    assert not grid.matches(Grid((9, 11, 8), grid.affine))


def test_a_small_tilt_that_moves_only_the_far_corner_is_noticed(small_scan):
    tilted = small_scan.affine.copy()
    tilted[0, 1] += 0.01  # 0.1 mm at the far end of an axis of 11 voxels
    assert not small_scan.grid.matches(Grid(small_scan.grid.shape, tilted))


def save(path, data, affine=None):
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def test_a_missing_scan_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_scan_is_refused(kept, tmp_path):
    noise = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    path = save(tmp_path / "scan.nii.gz", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match=r"scan\.nii\.gz"):
        read_image(path)


def test_a_text_file_called_nifti_is_refused(tmp_path):
    (tmp_path / "scan.nii.gz").write_text("not a scan", encoding="utf-8")
    with pytest.raises(InputError, match="NIfTI"):
        read_image(tmp_path / "scan.nii.gz")


def test_a_4d_series_is_refused(tmp_path):
    path = save(tmp_path / "series.nii.gz", np.zeros((4, 4, 4, 2), np.float32))
    with pytest.raises(InputError, match="one 3D volume"):
        read_image(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_scan_with_nan_is_refused(bad, tmp_path):
    data = np.ones((4, 4, 4), np.float32)
    data[1, 2, 2] = bad
    with pytest.raises(InputError, match="1 NaN or infinite"):
        read_image(save(tmp_path / "scan.nii.gz", data))


def test_an_unknown_label_value_is_refused_and_named(tmp_path):
    path = save(tmp_path / "mask.nii.gz", np.full((4, 4, 4), 121, np.int16))
    with pytest.raises(InputError, match="unknown label value 121"):
        read_labels(path, allowed=set(range(1, 121)))


def test_a_probability_map_is_not_a_label_map(tmp_path):
    path = save(tmp_path / "mask.nii.gz", np.full((4, 4, 4), 0.5, np.float32))
    with pytest.raises(InputError, match="whole label values"):
        read_labels(path)


def test_a_mask_on_another_grid_is_refused(small_scan, tmp_path):
    other = Volume(np.zeros((9, 11, 8), np.uint8), small_scan.affine)
    with pytest.raises(InputError, match="expected the grid of"):
        require_same_grid(tmp_path / "mask.nii.gz", other, tmp_path / "scan.nii.gz", small_scan)


def test_data_of_another_grid_is_not_written_as_if_it_fitted(small_scan, tmp_path):
    native = Grid((9, 11, 8), small_scan.affine)
    with pytest.raises(InputError):
        write_volume(tmp_path / "mask.nii.gz", small_scan, native=native)
    assert list(tmp_path.iterdir()) == []
