"""Ingest: a lab's files come in voxel for voxel, or not at all."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from spinalroots.anatomy import ROOTS, Root, Scheme, individuals_to_levels, level_value
from spinalroots.dataset.annotations import maps, rater_path, read_map
from spinalroots.dataset.export import export_case
from spinalroots.dataset.ingest import ingest, plan, replace_masks
from spinalroots.dataset.ingest.dicom import read_series
from spinalroots.dataset.ingest.names import meaning_of
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.imaging.volume import Grid, Volume, read_image, read_labels, write_volume

SHAPE = (14, 16, 12)
RAS = np.diag([0.7, 0.8, 1.9, 1.0])
RAS[:3, 3] = [-3.5, 12.25, -40.125]
PSR_AXES = [[0, 0, 0.7, -3.5], [-0.8, 0, 0, 24.25], [0, 1.9, 0, -40.125], [0, 0, 0, 1]]
PSR = Grid((16, 12, 14), np.array(PSR_AXES))


def scan(seed=0):
    """A scan of whole grey values on RAS+, stored as PSR."""
    values = np.random.default_rng(seed).integers(0, 3000, SHAPE).astype(np.float32)
    return Volume(values, RAS)


def individual_map():
    """All schemes' voxels: four roots as short columns."""
    labels = np.zeros(SHAPE, np.uint8)
    for index, name in enumerate(("L3_D_L", "L3_D_R", "T10_V_L", "S1_D_R")):
        labels[3 + 2 * index, 8, 2:10] = Root.parse(name).value
    return labels


def phantom_like(root, case="sub-001", seed=0):
    """A data set with one case that has every kind of map, stored in another orientation."""
    dataset, volume, individuals = Dataset(root), scan(seed), individual_map()
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[4:9, 4:7], tissues[2:4, 2:4], tissues[11:13, 2:4] = 2, 1, 3
    write_volume(dataset.image(case), volume, native=PSR)
    for scheme, labels in (
        (Scheme.INDIVIDUALS, individuals),
        (Scheme.LEVELS, individuals_to_levels(individuals)),
        (Scheme.ENTITY, (individuals != 0).astype(np.uint8)),
        (Scheme.TISSUES, tissues),
    ):
        write_volume(dataset.labels(case, scheme), volume.with_data(labels), native=PSR)
    return dataset


def write_mask(path, labels, affine=RAS):
    image = nib.Nifti1Image(np.asarray(labels), affine)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def lab_folder(folder, seed=0):
    """A scan and a few binary masks, named as labs name them."""
    write_mask(folder / "image.nii.gz", scan(seed).data.astype(np.int16))
    individuals = individual_map()
    for name in ("L3_D_L", "L3_D_R"):
        write_mask(folder / f"{name}.nii.gz", (individuals == Root.parse(name).value).astype("u1"))
    write_mask(folder / "roots.nii.gz", (individuals != 0).astype("u1"))
    return folder


def snapshot(root: Path):
    """Every file below `root` with its bytes' hash."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def raw(tmp_path):
    """data/raw/ingested with one case in it."""
    root = tmp_path / "data" / "raw" / "ingested"
    ingest(plan(lab_folder(tmp_path / "earlier", seed=99), root), root)
    return root


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


def write_dicom(folder, volume, series="1.2.3.4", seed_uid=1, skip=()):
    """The volume (RAS+) as a DICOM series, slices along its third axis."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(volume.data.shape[2]):
        if index in skip:
            continue
        image = sitk.GetImageFromArray(volume.data[:, :, index].T.astype(np.int16))
        image.SetSpacing(spacing[:2].tolist())
        position = lps[:3, 3] + lps[:3, 2] * index
        tags = {
            "0008|0060": "MR", "0010|0010": "Doe^Jane", "0010|0020": "4711",
            "0010|0030": "19700101", "0020|000d": "1.2.3", "0020|000e": series,
            "0008|0018": f"{series}.{seed_uid}.{index + 1}",
            "0020|0032": "\\".join(f"{value:.10g}" for value in position),
            "0020|0037": "\\".join(f"{value:.10g}" for value in direction[:, :2].T.ravel()),
            "0020|0013": str(index + 1), "0018|0050": f"{spacing[2]:.6g}",
        }  # fmt: skip
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{series}-{(index * 7) % 97:03d}.dcm"))
        writer.Execute(image)
    return folder


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
    report, changes = replace_masks("sub-001", tmp_path / "back", raw)
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


# Every way to be wrong ends in a clear error and an untouched data/raw


def wrong_grid(folder):
    shifted = RAS.copy()
    shifted[2, 3] += 0.5
    write_mask(folder / "S1_D_L.nii.gz", np.zeros(SHAPE, "u1"), shifted)


def wrong_shape(folder):
    write_mask(folder / "S1_D_L.nii.gz", np.zeros((14, 16, 11), "u1"))


def wrong_name(folder):
    write_mask(folder / "L3_D_X.nii.gz", np.zeros(SHAPE, "u1"))


def unknown_words(folder):
    write_mask(folder / "blob.nii.gz", np.zeros(SHAPE, "u1"))


def two_masks_claim_a_voxel(folder):
    write_mask(folder / "S1_D_L.nii.gz", (individual_map() == 89).astype("u1"))


def unknown_level(folder):
    write_mask(folder / "L9_D_L.nii.gz", np.zeros(SHAPE, "u1"))


def not_binary(folder):
    write_mask(folder / "S1_D_L.nii.gz", np.arange(np.prod(SHAPE), dtype="i2").reshape(SHAPE) % 3)


def fractional(folder):
    write_mask(folder / "S1_D_L.nii.gz", np.full(SHAPE, 0.5, np.float32))


def missing_image(folder):
    (folder / "image.nii.gz").unlink()


def two_images(folder):
    write_mask(folder / "t2.nii.gz", scan(4).data)


def unknown_label_value(folder):
    write_mask(folder / "individuals.nii.gz", np.full(SHAPE, 121, "u1"))
    (folder / "L3_D_L.nii.gz").unlink()
    (folder / "L3_D_R.nii.gz").unlink()


def the_same_root_twice(folder):
    mask = np.zeros(SHAPE, "u1")
    mask[0, 0, 0] = 1
    write_mask(folder / "l3-dorsal-left.nii.gz", mask)


def truncated(folder):
    path = folder / "image.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])


def truncated_mask(folder):
    path = folder / "roots.nii.gz"
    path.write_bytes(path.read_bytes()[:60])


def four_dimensions(folder):
    write_mask(folder / "image.nii.gz", np.zeros((*SHAPE, 3), np.int16))


def not_a_number(folder):
    values = scan().data.copy()
    values[3, 3, 3] = np.nan
    write_mask(folder / "image.nii.gz", values)


def image_is_a_mask(folder):
    write_mask(folder / "image.nii.gz", (individual_map() != 0).astype("u1"))


def no_nifti(folder):
    (folder / "image.nii.gz").write_bytes(b"not a scan at all")


def hidden_name(folder):
    write_mask(folder / "..S1_D_L.nii.gz", np.zeros(SHAPE, "u1"))


def folder_link(folder):
    (folder / "rater-B").symlink_to(folder.parent, target_is_directory=True)


BROKEN = {
    wrong_grid: "expected the grid of",
    wrong_shape: "expected the grid of",
    wrong_name: "L3_D_X",
    unknown_words: "blob",
    two_masks_claim_a_voxel: "every voxel in one mask",
    unknown_level: "found level L9",
    not_binary: "a binary mask",
    fractional: "whole label values",
    missing_image: "masks only",
    two_images: "one scan",
    unknown_label_value: "unknown label value 121",
    the_same_root_twice: "one mask of L3_D_L",
    truncated: "complete file",
    truncated_mask: "complete file|a NIfTI file",
    four_dimensions: "one 3D volume",
    not_a_number: "finite voxel values",
    image_is_a_mask: "grey values",
    no_nifti: "a NIfTI file",
    hidden_name: r"S1_D_L",
    folder_link: "a link",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_a_broken_folder_is_a_clear_error_and_data_raw_stays(spoil, raw, tmp_path):
    before = snapshot(raw.parent)
    good, bad = lab_folder(tmp_path / "good", 1), lab_folder(tmp_path / "bad", 2)
    spoil(bad)
    with pytest.raises(InputError, match=BROKEN[spoil]) as error:
        ingest(plan([good, bad], raw), raw)
    assert all((error.value.expected, error.value.found, error.value.fix))
    assert snapshot(raw.parent) == before


def test_a_mixed_series_is_an_error(raw, tmp_path, small_scan):
    before = snapshot(raw.parent)
    folder = write_dicom(tmp_path / "mixed", small_scan, "1.2.3.4")
    write_dicom(folder, small_scan, "1.2.3.5")
    with pytest.raises(InputError, match="mixed series"):
        plan(folder, raw)
    assert snapshot(raw.parent) == before


def test_a_series_with_a_localiser_in_it_is_an_error(tmp_path, small_scan):
    folder = write_dicom(tmp_path / "mixed", small_scan)
    turned = small_scan.affine[:, [1, 2, 0, 3]]
    write_dicom(folder / "..", Volume(small_scan.data.transpose(1, 2, 0), turned), seed_uid=2)
    for path in (tmp_path).glob("*.dcm"):
        path.rename(folder / f"localiser-{path.name}")
    with pytest.raises(InputError, match="mixed series"):
        plan(folder, tmp_path / "raw")


def test_a_missing_slice_is_an_error(tmp_path, small_scan):
    folder = write_dicom(tmp_path / "holes", small_scan, skip={3})
    with pytest.raises(InputError, match="a slice is missing"):
        plan(folder, tmp_path / "raw")


def test_a_truncated_slice_is_an_error(tmp_path, small_scan):
    folder = write_dicom(tmp_path / "cut", small_scan)
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError):
        plan(folder, tmp_path / "raw")


@pytest.mark.parametrize(
    "name", ["../evil", "sub-01/../../evil", "/abs", "sub-", "sub-a_b", "sub-a\n", "evil", ""]
)
def test_a_case_name_never_becomes_a_path(name, raw, tmp_path):
    before = snapshot(tmp_path)
    source = lab_folder(tmp_path / "lab")
    before |= snapshot(tmp_path)
    with pytest.raises(InputError):
        plan(source, raw, case=name)
    with pytest.raises(InputError):
        replace_masks(name, source, raw)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["missing.nii.gz", "missing", "notes.txt", "empty"])
def test_a_source_without_a_scan_is_an_error(name, raw, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    before = snapshot(raw.parent)
    with pytest.raises(InputError):
        plan(tmp_path / name, raw)
    assert snapshot(raw.parent) == before


def test_the_same_scan_twice_is_refused(raw, tmp_path):
    with pytest.raises(InputError, match="same scan as sub-001"):
        plan(lab_folder(tmp_path / "again", seed=99), raw)
    twin = [lab_folder(tmp_path / "one", 1), lab_folder(tmp_path / "two", 1)]
    with pytest.raises(InputError, match="same scan as sub-002"):
        plan(twin, raw)


def test_a_source_that_breaks_between_plan_and_ingest_leaves_data_raw(raw, tmp_path):
    before = snapshot(raw.parent)
    good, bad = lab_folder(tmp_path / "good", 1), lab_folder(tmp_path / "bad", 2)
    cases = plan([good, bad], raw)
    truncated(bad)
    with pytest.raises(InputError):
        ingest(cases, raw)
    assert snapshot(raw.parent) == before
    assert [path.name for path in raw.parent.iterdir()] == ["ingested"]


def test_what_a_killed_ingest_left_is_put_back(raw, tmp_path):
    before = snapshot(raw)
    (raw.parent / ".ingested.half" / "sub-002").mkdir(parents=True)
    (raw.parent / ".ingested.old.x").mkdir()
    raw.rename(raw.parent / ".ingested.old.x" / "ingested")
    ingest(plan(lab_folder(tmp_path / "lab", 1), raw, case="sub-new"), raw)
    after = snapshot(raw)
    assert all(after[path] == before[path] for path in before if "participants" not in path)
    assert [path.name for path in raw.parent.iterdir()] == ["ingested"]


def test_a_mask_without_its_subjects_scan_is_an_error_in_bids(tmp_path):
    phantom_like(tmp_path / "bids")
    stray = tmp_path / "bids/derivatives/labels/sub-002/anat/sub-002_label-L3_mask.nii.gz"
    write_mask(stray, np.zeros(SHAPE, "u1"))
    with pytest.raises(InputError, match="a scan sub-002_T2w"):
        plan(tmp_path / "bids", tmp_path / "raw")


def test_an_export_never_overwrites(tmp_path):
    dataset = phantom_like(tmp_path / "bids")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="a new folder"):
        export_case(dataset, "sub-001", tmp_path / "out")
