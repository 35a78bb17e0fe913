"""Ingest: every way to be wrong ends in a clear error and an untouched data/raw."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT
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
from processes import at_once, killed_after

from spinalroots.cli import main
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import read_json, write_json
from spinalroots.imaging.volume import Volume
from spinalroots.ingest import ingest, plan, replace_masks
from spinalroots.ingest.lab import export_case


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


def link_to_nowhere(folder):
    (folder / "S1_D_L.nii.gz").symlink_to(folder / "gone.nii.gz")


def scan_is_a_link_to_nowhere(folder):
    (folder / "image.nii.gz").unlink()
    (folder / "image.nii.gz").symlink_to("/nowhere/image.nii.gz")


def link_to_something_else(folder):
    (folder.parent / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "S1_D_L.nii.gz").symlink_to(folder.parent / "secret.txt")


def compressed_and_not(folder):
    nib.save(nib.load(folder / "L3_D_L.nii.gz"), folder / "L3_D_L.nii")


def another_format(folder):
    (folder / "S1_D_L.mgz").write_bytes(b"0")


def header_that_claims_too_much(folder):
    header = nib.Nifti1Header()
    header.set_data_shape((32767, 32767, 32767))
    header["magic"], header["vox_offset"] = b"n+1", 352
    (folder / "image.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(5000)))


def scans_below_a_scan(folder):
    """A stray image beside folders of scans, which makes these look like a scan's masks."""
    write_mask(folder / "p2/image.nii.gz", scan(5).data)


def tissues_drawn_for_another_command(folder):
    write_mask(folder / "image_tissues-manual.nii.gz", np.ones(SHAPE, "u1"))


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
    link_to_nowhere: "a link to nothing",
    scan_is_a_link_to_nowhere: "a link to nothing",
    link_to_something_else: "a NIfTI file",
    compressed_and_not: "one mask of L3_D_L",
    another_format: "a mask as .mgz",
    header_that_claims_too_much: "million voxels",
    scans_below_a_scan: "masks only, as .*bad holds",
    tissues_drawn_for_another_command: "1 WM, 2 CSF, 3 fat, .* 1 is CSF, 2 roots and 3 cord",
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


def other_axes(folder):
    """The same voxels at the same place, stored from the other end of an axis."""
    path = folder / "L3_D_L.nii.gz"
    affine = RAS @ np.diag([1.0, -1, 1, 1])
    affine[1, 3] += RAS[1, 1] * (SHAPE[1] - 1)
    write_mask(path, np.asanyarray(nib.load(path).dataobj)[:, ::-1], affine)


def dicom_scan(folder):
    (folder / "image.nii.gz").unlink()
    write_dicom(folder / "series", scan())


@pytest.mark.parametrize("spoil", [other_axes, dicom_scan], ids=lambda spoil: spoil.__name__)
def test_one_word_about_axes_is_not_taken_for_files_that_are_stored_otherwise(spoil, raw, tmp_path):
    before = snapshot(raw.parent)
    spoil(folder := lab_folder(tmp_path / "lab", 2))
    with pytest.raises(InputError, match="--orientation"):
        plan(folder, raw, orientation="LAS")
    assert snapshot(raw.parent) == before


def test_a_case_that_is_not_there_cannot_be_exported(raw, tmp_path):
    with pytest.raises(InputError, match=r"case 'sub-099': .* \(there: sub-001\)"):
        export_case(Dataset(raw), "sub-099", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "spoil",
    [wrong_grid, wrong_name, two_masks_claim_a_voxel, unknown_level, not_binary, truncated_mask],
    ids=lambda spoil: spoil.__name__,
)
def test_a_corrected_mask_that_is_broken_changes_nothing(spoil, raw, tmp_path):
    before = snapshot(raw.parent)
    bad = lab_folder(tmp_path / "corrected", seed=99)
    spoil(bad)
    with pytest.raises(InputError, match=BROKEN[spoil]):
        replace_masks("sub-001", bad, raw)
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
    "name",
    [
        "../evil",
        "sub-01/../../evil",
        "/abs",
        "sub-",
        "sub-a_b",
        "sub-a\n",
        "evil",
        "",
        "sub-ph001",
        "sub-7aug01",
    ],
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
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
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


@pytest.mark.parametrize("renames", [0, 3, 9, 10, 11, 13, 15])
def test_a_killed_ingest_leaves_all_of_a_case_or_none(renames, raw, tmp_path):
    before = snapshot(raw)
    first, second = (
        plan(lab_folder(tmp_path / name, seed), raw, case=f"sub-{name}")
        for seed, name in enumerate(("first", "second"), start=1)
    )
    assert killed_after(renames, lambda: ingest(first, raw)) == -signal.SIGKILL
    ingest(second, raw)
    after = snapshot(raw)
    assert all(after[path] == before[path] for path in before if "participants" not in path)
    assert [path.name for path in raw.parent.iterdir()] == ["ingested"]
    assert not [path for path in after if path.startswith(".")]
    assert sum("/sub-first_" in path for path in after) == (4 if renames > 10 else 0)
    assert Dataset(raw).cases() == Dataset(raw).participants().index.tolist()


@pytest.mark.parametrize("renames", [10, 11, 13])
def test_the_command_that_was_killed_finds_its_own_case_and_leaves_nothing(
    renames, raw, tmp_path, capsys
):
    lab = lab_folder(tmp_path / "lab", 1)
    planned = plan(lab, raw)
    assert killed_after(renames, lambda: ingest(planned, raw)) == -signal.SIGKILL
    end = main(["ingest", str(lab), "--root", str(raw), "--no-dvc"])
    assert "came in meanwhile" not in capsys.readouterr().err
    assert end in (0, 2)
    assert Dataset(raw).cases() == ["sub-001", "sub-002"]
    assert not list(raw.glob(".*"))


def test_two_ingests_at_once_lose_no_scan(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labs = [lab_folder(tmp_path / f"lab{seed}", seed) for seed in range(1, 5)]
    command = ["ingest", "--no-dvc", "--root", str(raw)]
    runs = [lambda lab=lab: sys.exit(main([*command, str(lab)])) for lab in labs]
    assert at_once(*runs) == [0] * 4
    assert Dataset(raw).cases() == [f"sub-{number:03d}" for number in range(1, 6)]
    assert Dataset(raw).participants().index.tolist() == Dataset(raw).cases()
    digests = {
        read_json(Dataset(raw).sidecar(case))["scan_sha256"] for case in Dataset(raw).cases()
    }
    assert len(digests) == 5
    assert [path.name for path in raw.parent.iterdir()] == ["ingested"]


def test_data_that_a_stage_reads_is_not_changed_under_it(tmp_path, monkeypatch, capsys):
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    reading = {"pid": os.getppid(), "cmd": "dvc repro refine"}
    write_json(
        tmp_path / ".dvc/tmp/rwlock", {"write": {}, "read": {str(tmp_path / "data/raw"): [reading]}}
    )
    command = ["ingest", str(lab_folder(tmp_path / "lab", 1)), "--no-dvc"]
    assert main(command) == 2
    assert "dvc repro refine" in capsys.readouterr().err
    assert not list(tmp_path.glob("data/raw/ingested/*"))
    (tmp_path / ".dvc/tmp/rwlock").unlink()
    assert main(command) == 0
    assert Dataset("data/raw/ingested").cases() == ["sub-001"]


def test_what_was_planned_twice_comes_in_once(raw, tmp_path):
    labs = [lab_folder(tmp_path / name, seed) for seed, name in enumerate("ab", start=1)]
    plans = [plan(lab, raw) for lab in labs]
    ingest(plans[0], raw)
    before = snapshot(raw)
    for again in plans:
        with pytest.raises(InputError, match=r"sub-002 came in meanwhile\. Plan"):
            ingest(again, raw)
    assert snapshot(raw) == before


def test_what_a_person_put_into_the_data_set_stays_to_the_byte(raw, tmp_path):
    kept = {
        "README": b"our scans",
        "notes/mine.txt": b"\xff\x00 notes",
        "sub-001/anat/sub-001_T1w.nii.gz": b"another scan",
        "dataset_description.json": b'{"Name": "Ours", "Authors": ["A"]}',
        "derivatives/labels/label-levels_dseg.tsv": b"our own colours",
    }
    for name, content in kept.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)
    table = "participant_id\tage\tsource\tsubject\tsex\nsub-001\t034\tingested\tsub-001\tn/a\n"
    (raw / "participants.tsv").write_text(table, encoding="utf-8")
    ingest(plan(lab_folder(tmp_path / "lab", 1), raw), raw)
    write_mask(tmp_path / "back/L3_D_L.nii.gz", np.zeros(SHAPE, np.uint8))
    replace_masks("sub-001", tmp_path / "back", raw)
    assert {name: (raw / name).read_bytes() for name in kept} == kept
    text = (raw / "participants.tsv").read_text(encoding="utf-8")
    assert text == table + "sub-002\tn/a\tingested\tsub-002\tn/a\n"


def test_a_data_set_behind_a_link_stays_there(raw, tmp_path):
    disk = tmp_path / "disk"
    shutil.move(raw, disk)
    raw.symlink_to(disk)
    ingest(plan(lab_folder(tmp_path / "lab", 1), raw), raw)
    assert raw.is_symlink()
    assert Dataset(disk).cases() == ["sub-001", "sub-002"]


def test_a_mask_without_its_subjects_scan_is_an_error_in_bids(tmp_path):
    phantom_like(tmp_path / "bids")
    stray = tmp_path / "bids/derivatives/labels/sub-002/anat/sub-002_label-L3_mask.nii.gz"
    write_mask(stray, np.zeros(SHAPE, "u1"))
    with pytest.raises(InputError, match="a scan sub-002_T2w"):
        plan(tmp_path / "bids", tmp_path / "raw")


@pytest.mark.parametrize("place", ["sub-002", "derivatives/more"])
def test_a_linked_folder_is_an_error_in_bids(place, tmp_path):
    phantom_like(tmp_path / "bids")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bids" / place).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(InputError, match="a link to one"):
        plan(tmp_path / "bids", tmp_path / "raw")


def test_an_export_never_overwrites(tmp_path):
    dataset = phantom_like(tmp_path / "bids")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="a new folder"):
        export_case(dataset, "sub-001", tmp_path / "out")
