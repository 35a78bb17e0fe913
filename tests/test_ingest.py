"""Ingest: a lab's files come in voxel for voxel, named as people name them, without who it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from lab_scans import (
    RAS,
    SHAPE,
    individual_map,
    lab_folder,
    phantom_like,
    scan,
    snapshot,
    write_dicom,
    write_mask,
)

from spinalroots.cli import main
from spinalroots.dataset.annotations import maps, rater_path, read_map
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.ingest import ingest, plan, replace_masks
from spinalroots.ingest.dicom import read_series
from spinalroots.ingest.lab import export_case
from spinalroots.ingest.names import meaning_of
from spinalroots.registry.anatomy import ROOTS, Root, Scheme, level_value

# What comes in comes in exactly


def test_an_exported_case_comes_back_voxel_for_voxel(tmp_path):
    original = phantom_like(tmp_path / "phantom")
    folder = export_case(original, "sub-001", tmp_path / "lab" / "Jane Doe 1970")
    root = tmp_path / "raw"
    done = ingest(plan(folder, root), root)
    assert [case.name for case in done] == ["sub-001"]
    for scheme in Scheme:
        before = nib.load(original.labels("sub-001", scheme))
        after = nib.load(Dataset(root).labels("sub-001", scheme))
        assert np.array_equal(np.asanyarray(before.dataobj), np.asanyarray(after.dataobj))
        assert np.allclose(before.affine, after.affine)
    before, after = (nib.load(data.image("sub-001")) for data in (original, Dataset(root)))
    assert np.array_equal(before.get_fdata(), after.get_fdata())
    assert nib.aff2axcodes(after.affine) == ("P", "S", "R")


def test_a_phantom_exported_to_a_lab_folder_comes_back(tmp_path, smoke_params):
    from spinalroots.phantom.dataset import write_dataset

    one = smoke_params.phantom.model_copy(update={"cases": 1})
    write_dataset(tmp_path / "phantom", tmp_path / "truth", one, smoke_params.seed)
    original, root = Dataset(tmp_path / "phantom"), tmp_path / "raw"
    ingest(plan(export_case(original, "sub-ph001", tmp_path / "lab"), root), root)
    for scheme in Scheme:
        before = read_labels(original.labels("sub-ph001", scheme))
        after = read_labels(Dataset(root).labels("sub-001", scheme))
        assert np.array_equal(before.data, after.data)
        assert before.native.matches(after.native)


def test_a_bids_data_set_comes_in_with_its_derivatives(tmp_path):
    source = phantom_like(tmp_path / "bids", "sub-ph007")
    beside = source.labels("sub-ph007", Scheme.LEVELS).parent
    write_mask(beside / "sub-ph007_label-discs_dlabel.nii.gz", np.zeros(SHAPE))
    (case,) = plan(tmp_path / "bids", tmp_path / "raw")
    ingest([case], tmp_path / "raw")
    assert any("discs" in note for note in case.report.notes)
    for entry in maps(source, "sub-ph007"):
        there = read_labels(Dataset(tmp_path / "raw").labels("sub-001", entry.scheme))
        assert np.array_equal(there.data, read_map(source, "sub-ph007", entry).data)


def test_rootlets_of_the_spinal_cord_toolbox_are_a_level_map(tmp_path):
    root = tmp_path / "bids"
    write_mask(root / "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz", scan().data)
    levels = np.where(individual_map() != 0, 23, 0).astype(np.uint8)
    derivative = root / "derivatives/labels/sub-01/ses-a/anat"
    write_mask(derivative / "sub-01_ses-a_T2w_label-rootlets_dseg.nii.gz", levels)
    write_mask(
        derivative / "sub-01_ses-a_T2w_label-SC_seg.nii.gz", (scan().data > 2900) * np.uint8(1)
    )
    (case,) = ingest(plan(root, tmp_path / "raw"), tmp_path / "raw")
    assert case.report.present == {"levels": ["L3"], "tissues": ["WM"]}


def test_two_sessions_of_a_person_share_a_subject(tmp_path):
    for session in "ab":
        path = tmp_path / f"bids/sub-9/ses-{session}/anat/sub-9_ses-{session}_T2w.nii.gz"
        write_mask(path, scan(ord(session)).data)
    ingest(plan(tmp_path / "bids", tmp_path / "raw"), tmp_path / "raw")
    table = Dataset(tmp_path / "raw").participants()
    assert table["subject"].tolist() == ["sub-001", "sub-001"]
    assert table["source"].tolist() == ["ingested", "ingested"]


def test_a_dicom_series_keeps_its_voxels_and_geometry(tmp_path, small_scan):
    volume = small_scan.with_data(np.round(small_scan.data))
    write_dicom(tmp_path / "series", volume)
    found = read_series(tmp_path / "series")
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.data.shape])).reshape(3, -1)
    difference = (found.affine - volume.affine)[:3]
    assert np.abs(difference[:, :3] @ corners + difference[:, 3:]).max() < 1e-3
    assert np.array_equal(found.data, volume.data)
    root = tmp_path / "raw"
    ingest(plan(tmp_path / "series", root), root)
    stored = Dataset(root).image("sub-001")
    assert np.array_equal(read_image(stored).data, volume.data)
    for path in root.rglob("*"):
        if path.is_file():
            assert b"Doe" not in nib.openers.Opener(str(path)).read()


def test_series_in_sub_folders_are_cases_of_their_own(tmp_path, small_scan):
    write_dicom(tmp_path / "study/one", small_scan, "1.2.3.4")
    write_dicom(tmp_path / "study/two", small_scan.with_data(small_scan.data + 5), "1.2.3.5")
    assert [case.name for case in plan(tmp_path / "study", tmp_path / "raw")] == [
        "sub-001",
        "sub-002",
    ]


def test_masks_may_lie_beside_a_dicom_series(tmp_path, small_scan):
    write_dicom(tmp_path / "case/dicom", small_scan)
    mask = np.zeros(small_scan.data.shape, np.uint8)
    mask[4, 5] = 1
    write_mask(tmp_path / "case/L3_D_L.nii.gz", mask, small_scan.affine)
    (case,) = plan(tmp_path / "case", tmp_path / "raw")
    assert case.report.present == {"individuals": ["L3_D_L"]}


def test_real_scans_come_in_without_masks(tmp_path, real_scans):
    root = tmp_path / "raw"
    cases = plan(list(real_scans.values()), root)
    ingest(cases, root)
    for case, source in zip(cases, real_scans.values(), strict=True):
        before, after = nib.load(source), nib.load(Dataset(root).image(case.name))
        assert np.array_equal(before.get_fdata(), after.get_fdata())
        assert np.allclose(before.affine, after.affine)
        assert case.report.present == {}
        assert any("mask of all roots" in sentence for sentence in case.report.missing)


def test_a_folder_of_the_spinal_cord_toolbox_brings_its_masks(tmp_path, real_scans):
    (case,) = plan(real_scans["cervical"].parent, tmp_path / "raw")
    assert case.report.present == {"levels": ["C5", "C6", "C7"], "tissues": ["WM"]}


# Names


@pytest.mark.parametrize(
    ("name", "scheme", "value"),
    [
        ("L3_D_L", Scheme.INDIVIDUALS, Root.parse("L3_D_L").value),
        ("l3-dorsal-left_seg", Scheme.INDIVIDUALS, Root.parse("L3_D_L").value),
        ("mask Th10 ventral right", Scheme.INDIVIDUALS, Root.parse("T10_V_R").value),
        ("T2_D_R", Scheme.INDIVIDUALS, Root.parse("T2_D_R").value),
        ("sub-07_label-L3DL_mask", Scheme.INDIVIDUALS, Root.parse("L3_D_L").value),
        ("S1", Scheme.LEVELS, level_value("S1")),
        ("level_T2", Scheme.LEVELS, level_value("T2")),
        ("nerve_roots", Scheme.ENTITY, 1),
        ("roots_mask", Scheme.ENTITY, 1),
        ("WM", Scheme.TISSUES, 1),
        ("spinal_cord_seg", Scheme.TISSUES, 1),
        ("csf", Scheme.TISSUES, 2),
        ("epidural_fat", Scheme.TISSUES, 3),
        ("sub-01_T2w_label-rootlets_dseg", Scheme.LEVELS, None),
        ("individuals", Scheme.INDIVIDUALS, None),
    ],
)
def test_names_that_people_use_are_understood(name, scheme, value):
    meaning = meaning_of(Path(f"{name}.nii.gz"))
    assert (meaning.scheme, meaning.value, meaning.rater) == (scheme, value, "")


@pytest.mark.parametrize("name", ["t2", "image", "sub-01_T2w", "patient-42", "t2_lumbar"])
def test_names_of_scans_are_no_masks(name):
    assert meaning_of(Path(f"{name}.nii.gz")) is None


def test_every_root_and_level_has_a_name_that_is_understood():
    for root in ROOTS:
        assert meaning_of(Path(f"{root}.nii.gz")).value == root.value


def test_the_rater_is_read_from_the_name_or_the_folder(tmp_path):
    assert meaning_of(Path("L3_D_L_rater-b.nii.gz")).rater == "B"
    folder = lab_folder(tmp_path / "case")
    individuals = (individual_map() == Root.parse("L3_D_L").value).astype("u1")
    write_mask(folder / "rater-2" / "L3_D_L.nii.gz", np.roll(individuals, 1, axis=1))
    (folder / "L3_D_L.nii.gz").rename(folder / "L3_D_L_rater1.nii.gz")
    (folder / "L3_D_R.nii.gz").unlink()
    root = tmp_path / "raw"
    ingest(plan(folder, root), root)
    paths = [rater_path(Dataset(root), "sub-001", Scheme.INDIVIDUALS, rater) for rater in "12"]
    assert np.array_equal(
        np.roll(read_labels(paths[0]).data, 1, axis=1), read_labels(paths[1]).data
    )


def test_a_patients_number_that_looks_like_a_level_is_no_level(tmp_path):
    folder = lab_folder(tmp_path / "S12")
    for path in list(folder.iterdir()):
        path.rename(folder / f"S12_{path.name}")
    (case,) = plan(folder, tmp_path / "raw")
    assert case.report.present["individuals"] == ["L3_D_L", "L3_D_R"]


# Privacy


def test_no_word_of_the_source_is_stored(tmp_path):
    folder = lab_folder(tmp_path / "Jane Doe 1970")
    image = nib.load(folder / "image.nii.gz")
    image.header["descrip"] = b"Jane Doe"
    image.header["aux_file"] = b"jane.txt"
    image.header["db_name"] = b"jdoe"
    image.header["intent_name"] = b"jane intent"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, 1970"))
    nib.save(image, folder / "image.nii.gz")
    root = tmp_path / "raw"
    (case,) = ingest(plan(folder, root), root)
    assert case.origin == "Jane Doe 1970"
    for path in (path for path in root.rglob("*") if path.is_file()):
        content = nib.openers.Opener(str(path)).read().lower()
        assert b"jane" not in content
        assert b"doe" not in content
        assert "jane" not in str(path.relative_to(root)).lower()


def test_the_sidecar_says_what_is_there_and_what_is_missing(tmp_path):
    ingest(plan(lab_folder(tmp_path / "lab"), tmp_path / "raw"), tmp_path / "raw")
    record = read_json(Dataset(tmp_path / "raw").sidecar("sub-001"))
    assert record["masks"] == {"entity": ["roots"], "individuals": ["L3_D_L", "L3_D_R"]}
    assert any("T10_D_L" in sentence for sentence in record["missing"])
    assert any("tissues WM, CSF, fat" in sentence for sentence in record["missing"])


# Numbers, twice, again


def test_new_cases_take_the_next_free_numbers_and_old_ones_stay(raw, tmp_path):
    before = snapshot(raw)
    cases = plan([lab_folder(tmp_path / "a", 1), lab_folder(tmp_path / "b", 2)], raw)
    assert [case.name for case in cases] == ["sub-002", "sub-003"]
    ingest(cases, raw)
    after = snapshot(raw)
    assert all(after[path] == before[path] for path in before if "participants" not in path)
    assert Dataset(raw).cases() == ["sub-001", "sub-002", "sub-003"]
    assert Dataset(raw).participants().index.tolist() == Dataset(raw).cases()


def test_ingest_twice_gives_the_same_bytes(tmp_path):
    for name in "ab":
        ingest(plan(lab_folder(tmp_path / "lab"), tmp_path / name), tmp_path / name)
        shutil.rmtree(tmp_path / "lab")
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_planning_writes_nothing(tmp_path):
    plan(lab_folder(tmp_path / "lab"), tmp_path / "data/raw/ingested")
    assert not (tmp_path / "data").exists()


def test_a_case_can_be_named(tmp_path):
    (case,) = plan(lab_folder(tmp_path / "lab"), tmp_path / "raw", case="sub-pilot")
    assert case.name == "sub-pilot"


def test_corrected_masks_replace_theirs_and_leave_the_others(raw, tmp_path):
    corrected = np.zeros(SHAPE, np.uint8)
    corrected[3:6, 8, 2:6] = 1
    write_mask(tmp_path / "back" / "L3_D_L.nii.gz", corrected)
    image = Dataset(raw).image("sub-001").read_bytes()
    report, changes, _ = replace_masks("sub-001", tmp_path / "back", raw)
    labels = read_labels(Dataset(raw).labels("sub-001", Scheme.INDIVIDUALS)).data
    left, right = (Root.parse(name).value for name in ("L3_D_L", "L3_D_R"))
    assert np.array_equal(labels == left, corrected != 0)
    old_right = individual_map() == right
    assert np.array_equal(labels == right, old_right & (corrected == 0))
    assert report.present["individuals"] == ["L3_D_L", "L3_D_R"]
    assert "4 voxels of kept labels" in changes[0]
    assert Dataset(raw).image("sub-001").read_bytes() == image


def test_a_whole_map_that_comes_back_replaces_the_whole_map(raw, tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[6, 6, 3:8] = Root.parse("S2_D_L").value
    write_mask(tmp_path / "individuals.nii.gz", labels)
    replace_masks("sub-001", tmp_path / "individuals.nii.gz", raw)
    stored = read_labels(Dataset(raw).labels("sub-001", Scheme.INDIVIDUALS)).data
    assert np.array_equal(stored, labels)


def test_masks_of_an_unknown_case_or_with_another_image_are_refused(raw, tmp_path):
    before = snapshot(raw)
    with pytest.raises(InputError, match="a case in"):
        replace_masks("sub-009", lab_folder(tmp_path / "x"), raw)
    with pytest.raises(InputError, match="another image"):
        replace_masks("sub-001", lab_folder(tmp_path / "y", seed=5), raw)
    assert snapshot(raw) == before


def headerless(image):
    """The same voxels and sizes, both codes 0."""
    bare = nib.Nifti1Image(np.asanyarray(image.dataobj), None)
    bare.header.set_zooms(image.header.get_zooms())
    return bare


def upside_down(image):
    """The second and the third axis said to run the other way, about the same middle."""
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 1:3] @ (np.array(image.shape[1:3]) - 1)
    affine[:3, 1:3] *= -1
    return nib.Nifti1Image(np.asanyarray(image.dataobj), affine)


@pytest.mark.parametrize("spoilt", [headerless, upside_down])
def test_a_scan_with_a_wrong_header_comes_in_as_a_person_says(spoilt, tmp_path, capsys):
    folder = lab_folder(tmp_path / "lab")
    for path in folder.iterdir():
        nib.save(spoilt(nib.load(path)), path)
    out = tmp_path / "data"
    told = ["--root", str(out), "--no-dvc", "--orientation", "RAS"]
    assert main(["ingest", str(folder), *told]) == 0
    found = read_image(Dataset(out).image("sub-001"))
    np.testing.assert_array_equal(found.data, scan().data)
    np.testing.assert_allclose(found.affine[:3, :3], RAS[:3, :3], atol=1e-6)
    roots = read_labels(Dataset(out).labels("sub-001", Scheme.INDIVIDUALS))
    drawn = individual_map()
    brought = [Root.parse(name).value for name in ("L3_D_L", "L3_D_R")]
    np.testing.assert_array_equal(roots.data, np.where(np.isin(drawn, brought), drawn, 0))
    header = "does not say" if spoilt is headerless else "says RPI"
    said = f"axes run RAS by --orientation (the header {header})"
    assert said in read_json(Dataset(out).sidecar("sub-001"))["reading"]
    assert said in capsys.readouterr().out


def test_what_is_odd_about_a_header_is_said_when_its_scan_comes_in(tmp_path):
    image = nib.Nifti1Image(scan().data, RAS)
    moved = RAS.copy()
    moved[0, 3] += 5
    image.set_sform(RAS, 2)
    image.set_qform(moved, 1)
    nib.save(image, tmp_path / "image.nii.gz")
    (case,) = plan(tmp_path / "image.nii.gz", tmp_path / "data")
    assert any("qform and sform disagree by 5 mm" in line for line in case.lines())
