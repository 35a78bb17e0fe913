"""Scans that people really have: the same masks at the same place as of the plain scan, or an error
in four parts, or a warning on top. A row of each kind; a stub finds the brightest voxels."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scan_files import ByBrightness, affine, itk, mask_mm, nifti, same_place, tube

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.imaging.volume import (
    Grid,
    Volume,
    read_image,
    read_labels,
    require_same_grid,
    write_volume,
)
from spinalroots.quality import recognised

INDIVIDUALS = "label-individuals_dseg.nii.gz"


@pytest.fixture
def predict(stubbed_model):
    def run(scan, out, *more) -> int:
        given = [str(scan), "-o", str(out), "-m", str(stubbed_model), "--device", "cpu"]
        return cli.main(["predict", *given, *more])

    return run


@pytest.fixture
def wanted(predict, tmp_path) -> np.ndarray:
    assert predict(nifti(tmp_path / "plain.nii.gz", tube()), tmp_path / "plain") == 0
    return mask_mm(tmp_path / "plain" / f"plain_{INDIVIDUALS}")


def image(data=None, place=None, *, sform=1, qform=1, unit="mm") -> nib.Nifti1Image:
    data = tube().data.astype(np.int16) if data is None else data
    place = tube().affine if place is None else place
    made = nib.Nifti1Image(data, place, dtype=data.dtype)
    made.set_qform(place, qform)
    made.set_sform(place, sform)
    made.header.set_xyzt_units(unit)
    return made


def save(path, made):
    nib.save(made, path)
    return path


def of_unit(unit, size):
    scale = np.diag([size, size, size, 1.0])
    return lambda path: save(path, image(place=scale @ tube().affine, unit=unit))


def border_of_a_value(path):
    data = tube().data.astype(np.int16)
    data[:2], data[-2:], data[:, :, :3] = -1024, -1024, -1024
    return save(path, image(data))


def nan_border(path):
    data = tube().data.copy()
    data[:2], data[:, -2:], data[:, :, -3:] = np.nan, np.nan, np.nan
    return save(path, image(data))


def last_axis_of_one(path):
    return save(path, image(tube().data[..., None].astype(np.int16)))


def singular_sform(path):
    content = bytearray(image().to_bytes())
    content[254], content[312:328] = 2, bytes(16)  # sform_code, srow_z
    path.write_bytes(content)
    return path


def smaller_sform_elsewhere(path):
    """The qform has the larger code and wins."""
    made = image(qform=2)
    moved = tube().affine.copy()
    moved[:3, 3] += 40
    made.set_sform(moved, 1)
    return save(path, made)


def smaller_qform_elsewhere(path):
    made = image(sform=2)
    moved = tube().affine.copy()
    moved[:3, 3] += 40
    made.set_qform(moved, 1)
    return save(path, made)


def packed_named_plain(path):
    content = gzip.compress(image().to_bytes())
    path.write_bytes(content)
    return path


def plain_named_packed(path):
    path = path.with_name("scan.nii.gz")
    path.write_bytes(image().to_bytes())
    return path


def nifti_2(path):
    return save(path, nib.Nifti2Image(tube().data.astype(np.int16), tube().affine))


def pair(path):
    return save(path.with_name("scan.hdr"), nib.Nifti1Pair(tube().data, tube().affine))


def mgz(path):
    return save(path.with_name("scan.mgz"), nib.MGHImage(tube().data, tube().affine))


THE_SAME = {
    "in metres": (of_unit("meter", 1e-3), "meter"),
    "in micrometres": (of_unit("micron", 1e3), "micron"),
    "micrometres said of millimetres": (of_unit("micron", 1.0), "cannot be; read as mm"),
    "border of -1024": (border_of_a_value, "hold -1024"),
    "border of NaN": (nan_border, "NaN"),
    "a last axis of 1": (last_axis_of_one, ""),
    "singular sform beside a good qform": (singular_sform, "sform cannot be used"),
    "qform of the larger code": (smaller_sform_elsewhere, "qform is taken"),
    "sform of the larger code": (smaller_qform_elsewhere, "sform is taken"),
    "gzip named .nii": (packed_named_plain, ""),
    "plain named .nii.gz": (plain_named_packed, ""),
    "NIfTI-2": (nifti_2, ""),
    ".hdr and .img": (pair, ""),
    "MGZ": (mgz, ""),
    "NRRD": (lambda path: itk(path.with_name("scan.nrrd"), tube()), ""),
    "MHA": (lambda path: itk(path.with_name("scan.mha"), tube()), ""),
    "MHD and RAW": (lambda path: itk(path.with_name("scan.mhd"), tube()), ""),
}


@pytest.mark.parametrize("kind", THE_SAME)
def test_an_odd_file_gives_the_same_masks_at_the_same_place(kind, predict, wanted, tmp_path):
    make, note = THE_SAME[kind]
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    assert predict(make(tmp_path / "in/scan.nii"), out) == 0
    found = mask_mm(out / f"scan_{INDIVIDUALS}")
    if "border" in kind:  # threads end before the border, so nothing is lost
        assert len(found) == len(wanted)
    assert same_place(found, wanted)
    said = " ".join(json.loads((out / "scan_prediction.json").read_text("utf-8"))["reading"])
    assert note in said
    assert bool(note) == bool(said)


@pytest.mark.parametrize(
    "kind", ["in metres", "qform of the larger code", "sform of the larger code"]
)
def test_masks_carry_the_scans_own_header(kind, predict, tmp_path):
    scan = THE_SAME[kind][0](tmp_path / "scan.nii")
    assert predict(scan, tmp_path / "out") == 0
    source, mask = nib.load(scan), nib.load(tmp_path / "out" / f"scan_{INDIVIDUALS}")
    for form in ("get_qform", "get_sform"):
        theirs, ours = (getattr(one, form)(coded=True) for one in (source, mask))
        assert theirs[1] == ours[1]
        assert np.array_equal(theirs[0], ours[0])
    assert source.header.get_xyzt_units() == mask.header.get_xyzt_units()


def test_masks_open_in_itk_where_a_scan_with_a_rounded_sform_does(predict, tmp_path):
    made = image(sform=1)
    made.set_sform(np.round(tube().affine, 2), 1)
    scan = save(tmp_path / "scan.nii.gz", made)
    assert predict(scan, tmp_path / "out") == 0
    seen = sitk.ReadImage(str(scan))
    mask = sitk.ReadImage(str(tmp_path / "out" / f"scan_{INDIVIDUALS}"))
    assert np.allclose(seen.GetOrigin(), mask.GetOrigin(), atol=1e-4)
    assert np.allclose(seen.GetDirection(), mask.GetDirection(), atol=1e-6)


def without_codes(path):
    content = bytearray(image().to_bytes())
    content[252:256] = bytes(4)  # qform_code, sform_code
    path.write_bytes(content)
    return path


def analyze(path):
    return save(
        path.with_name("scan.hdr"), nib.AnalyzeImage(tube().data, np.diag([-1.2, 1.2, 1.5, 1]))
    )


@pytest.mark.parametrize("make", [without_codes, analyze])
def test_a_header_without_orientation_is_refused_or_told(make, predict, tmp_path, capsys):
    scan = make(tmp_path / "scan.nii")
    assert predict(scan, tmp_path / "out") == 2
    assert "which way its axes run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    sides = {}
    for codes in ("RAS", "LAS"):
        out = tmp_path / codes
        assert predict(scan, out, "--orientation", codes) == 0
        record = json.loads((out / "scan_prediction.json").read_text("utf-8"))
        assert f"{codes} by --orientation" in " ".join(record["reading"])
        sides[codes] = record["voxels"]
        assert nib.aff2axcodes(nib.load(out / f"scan_{INDIVIDUALS}").affine) == tuple(codes)
    swapped = {
        name[:-1] + {"L": "R", "R": "L"}[name[-1]]: count for name, count in sides["LAS"].items()
    }
    assert sides["RAS"] == swapped
    assert predict(scan, tmp_path / "no", "--orientation", "LAX") == 2


def test_an_orientation_turns_what_the_header_has_wrong(predict, wanted, tmp_path):
    """Upside down: superior and inferior, anterior and posterior exchanged."""
    turned = tube().affine @ np.diag([1.0, -1, -1, 1])
    turned[:3, 3] = (tube().affine @ [0, 31, 39, 1])[:3]
    wrong = tube().affine.copy()
    wrong[:3, 1:3] *= -1
    middle = np.array([14.5, 15.5, 19.5])
    wrong[:3, 3] = (tube().affine[:3, :3] @ middle + tube().affine[:3, 3]) - wrong[:3, :3] @ middle
    scan = save(tmp_path / "scan.nii.gz", image(place=wrong))
    assert nib.aff2axcodes(wrong) == ("R", "P", "I")
    assert predict(scan, tmp_path / "out", "--orientation", "RAS") == 0
    assert same_place(mask_mm(tmp_path / "out" / f"scan_{INDIVIDUALS}"), wanted)


REFUSED = {
    "Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "git lfs pull",
    ),
    "git-annex pointer": (b"/annex/objects/SHA256E-s1--0.nii.gz\n", "git annex get"),
    "text": (b"not a scan", "something else"),
    "NRRD without data": (b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\n\n", "NRRD"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_image_is_refused_in_four_parts(kind, predict, tmp_path, capsys):
    content, words = REFUSED[kind]
    path = tmp_path / ("scan.nrrd" if "NRRD" in kind else "scan.nii.gz")
    path.write_bytes(content)
    assert predict(path, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}: expected ")
    assert words in said
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_file_that_was_not_fetched_says_so(tmp_path):
    (tmp_path / "scan.nii.gz").symlink_to(".git/annex/objects/none")
    with pytest.raises(InputError, match="not fetched"):
        read_image(tmp_path / "scan.nii.gz")


def test_nan_inside_the_picture_is_refused(tmp_path):
    data = tube().data.copy()
    data[15, 15, 20] = np.nan
    with pytest.raises(InputError, match="1 NaN"):
        read_image(save(tmp_path / "scan.nii.gz", image(data)))


def test_single_very_dark_voxels_are_no_filling(tmp_path):
    data = tube().data.copy()
    data[3, 3, 3] = -5000
    scan = read_image(save(tmp_path / "scan.nii.gz", image(data)))
    assert scan.data.min() == -5000
    assert scan.notes == ()


def test_grey_values_that_float32_cannot_hold_are_said_to_be_rounded(tmp_path):
    data = tube().data.astype(np.int32) + 2**25
    scan = read_image(save(tmp_path / "scan.nii.gz", image(data)))
    assert "rounded to 24 bits" in " ".join(scan.notes)
    assert np.abs(scan.data - data).max() <= 2
    assert read_image(save(tmp_path / "plain.nii.gz", image())).notes == ()


LABELS = np.zeros((6, 7, 8), np.uint8)
LABELS[2:4, 3, 2:6] = 1


def scaled(path):
    made = nib.Nifti1Image((LABELS * 32767.0).astype(np.int16), affine())
    made.header.set_slope_inter(1 / 32767, 0)
    return save(path, made)


MASKS = {
    "of 0.99999": lambda path: save(path, nib.Nifti1Image(LABELS * np.float32(0.99999), affine())),
    "with a scale of 1/32767": scaled,
    "of a last axis of 1": lambda path: save(path, nib.Nifti1Image(LABELS[..., None], affine())),
    "as NRRD": lambda path: itk(path.with_name("m.nrrd"), Volume(LABELS, affine())),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_that_miss_whole_numbers_by_rounding_are_read(kind, tmp_path):
    found = read_labels(MASKS[kind](tmp_path / "m.nii.gz"))
    assert np.array_equal(found.data, LABELS)


def test_grids_that_differ_by_rounding_are_one_and_others_are_told_apart():
    scan = Volume(np.zeros((40, 40, 40)), np.diag([2.5, 2.5, 2.5, 1]))
    near = Volume(np.zeros((40, 40, 40)), np.diag([2.499999, 2.5, 2.5, 1]))
    require_same_grid("mask", near, "scan", scan)
    moved = scan.affine.copy()
    moved[1, 3] = 0.3
    with pytest.raises(InputError, match=r"origin moved by \(0, 0.3, 0\) mm"):
        require_same_grid("mask", Volume(scan.data, moved), "scan", scan)


def spine(upright=True, roots=True) -> Volume:
    """A tissue map: cord in the upper half of a sac, roots in the lower one."""
    data = np.zeros((30, 30, 60), np.uint8)
    data[8:22, 8:22] = 2
    data[12:18, 12:18, 30:] = 1
    if roots:
        data[10:20, 8:12, :30] = 4
    return Volume(data if upright else data[:, :, ::-1], np.eye(4))


GOOD = {"contrast": 0.6, "noise": 0.03}


@pytest.mark.parametrize(
    ("tissues", "looks", "kinds", "words"),
    [
        (spine(), GOOD, [], ""),
        (None, GOOD, [], ""),
        (spine(upright=False), GOOD, ["upside_down"], "--orientation LAI"),
        (spine(upright=False, roots=False), GOOD, ["upside_down"], "--orientation LPI"),
        (spine().with_data(np.zeros((30, 30, 60), np.uint8)), GOOD, ["no_t2"], "another contrast"),
        (None, {"contrast": -0.2, "noise": 0.03}, ["no_t2"], "inverted"),
        (None, {"contrast": float("nan"), "noise": 0.03}, ["no_t2"], "T1"),
        (None, {"contrast": 0.5, "noise": 0.4}, ["no_t2"], "noise"),
    ],
)
def test_what_is_no_t2_scan_of_a_spine_gets_a_warning_that_names_it(tissues, looks, kinds, words):
    found = recognised.warnings(tissues, looks, "LAS")
    assert [one["kind"] for one in found] == kinds
    assert all(words in one["message"] for one in found)


@pytest.mark.parametrize("kind", ["noise", "inverted"])
def test_a_picture_of_something_else_is_said_on_the_console_first(
    kind, predict, tmp_path, capsys, monkeypatch
):
    real = ByBrightness.predict

    def without_tissues(self, *given):
        return replace(real(self, *given), tissues=None)

    monkeypatch.setattr(ByBrightness, "predict", without_tissues)
    rng, plain = np.random.default_rng(3), tube()
    data = {
        "noise": rng.normal(500, 100, plain.data.shape),
        "inverted": 2200 - plain.data,
    }[kind]
    scan = nifti(tmp_path / "scan.nii.gz", plain.with_data(data), np.float32)
    assert predict(scan, tmp_path / "out") == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("WARNING: No")
    record = json.loads((tmp_path / "out/scan_prediction.json").read_text("utf-8"))
    assert record["warnings"][0]["kind"] in ("no_t2", "empty")


def test_an_empty_result_is_said_first(predict, tmp_path, capsys, monkeypatch):
    real = ByBrightness.predict

    def nothing(self, scan, *more):
        found = real(self, scan, *more)
        empty = scan.with_data(np.zeros(scan.data.shape, np.uint8))
        return replace(found, labels=empty, tissues=None)

    monkeypatch.setattr(ByBrightness, "predict", nothing)
    assert predict(nifti(tmp_path / "scan.nii.gz", tube()), tmp_path / "out") == 0
    assert capsys.readouterr().err.startswith("WARNING: No root was found")


def test_a_bids_folder_below_rawdata_comes_in_with_its_t2w_scans(tmp_path):
    from spinalroots.ingest import planning

    for contrast in ("T1w", "T2w"):
        nifti(tmp_path / f"rawdata/sub-1/anat/sub-1_{contrast}.nii.gz", tube())
    (found,) = planning.find(tmp_path)
    assert found.scan is not None
    assert found.scan.name == "sub-1_T2w.nii.gz"


def test_a_scan_with_its_segmentation_beside_it_is_one_scan(predict, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    itk(tmp_path / "in/scan.nrrd", tube())
    shutil.copy(tmp_path / "in/scan.nrrd", tmp_path / "in/Segmentation.seg.nrrd")
    assert predict(tmp_path / "in", tmp_path / "out") == 0
    assert "Segmentation.seg.nrrd: a segmentation" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob(f"*_{INDIVIDUALS}"))) == 1


def test_a_mask_on_a_native_grid_keeps_no_words_of_a_scan_that_had_none(tmp_path):
    made = Volume(LABELS, affine())
    write_volume(tmp_path / "m.nii.gz", made, native=Grid((6, 7, 8), affine()))
    assert np.allclose(nib.load(tmp_path / "m.nii.gz").affine, affine(), atol=1e-5)
