"""Many scans in one command: what is done, what is told, what is left for the next call."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
from scan_files import dicom, itk, mask_mm, nifti, same_place, stub_model, tube
from small_model import write_packaged

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.files import write_json
from spinalroots.predict import batch, load, sources
from spinalroots.report import figures

INDIVIDUALS = "label-individuals_dseg.nii.gz"


@pytest.fixture
def model(tmp_path, smoke_params, monkeypatch):
    """A model's folder whose network is a stub; `loads` counts how often it is loaded."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "package.json").write_text("{}", encoding="utf-8")
    loads = []

    def stub(where, device):
        loads.append(where)
        return stub_model(smoke_params)

    monkeypatch.setattr(load, "load", stub)
    monkeypatch.setattr(figures, "preview", lambda *_: b"png")
    batch.loaded.cache_clear()
    yield folder, loads
    batch.loaded.cache_clear()


def predict(model, *arguments) -> int:
    given = [str(one) for one in arguments]
    return cli.main(["predict", *given, "-m", str(model[0]), "--device", "cpu"])


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_twenty_scans_with_two_bad_ones(model, tmp_path, capsys):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for number in range(18):
        nifti(scans / f"p{number:02d}.nii.gz", tube(number))
    (scans / "p18.nii.gz").write_bytes((scans / "p00.nii.gz").read_bytes()[:3000])
    flat = tube()
    nifti(scans / "p19.nii.gz", flat.with_data(np.full_like(flat.data, 7)))
    report = tmp_path / "run.json"
    assert predict(model, scans, "-o", out, "--report", report) == 2
    said = capsys.readouterr()
    assert len(list(out.glob(f"*_{INDIVIDUALS}"))) == 18
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "p18.nii.gz: expected" in errors[0]
    assert "contrast" in errors[1]
    assert "18 done, 2 could not be used" in said.out
    assert len(model[1]) == 1
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["counts"] == {"done": 18, "could not be used": 2}
    assert told["exit_code"] == 2
    assert [bool(one["reason"]) for one in told["scans"]] == [False] * 18 + [True] * 2
    assert [one["results"] is None for one in told["scans"]] == [False] * 18 + [True] * 2

    before = snapshot(out)
    assert predict(model, scans, "-o", out, "--report", report) == 2
    assert snapshot(out) == before
    assert len(model[1]) == 1
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["counts"] == {"up to date": 18, "could not be used": 2}


def test_only_what_is_missing_or_out_of_date_is_done_again(model, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for number in range(3):
        nifti(scans / f"p{number}.nii.gz", tube(number))
    assert predict(model, scans, "-o", out) == 0
    (out / f"p1_{INDIVIDUALS}").unlink()
    before = snapshot(out)
    assert predict(model, scans, "-o", out) == 0
    changed = {path.name[:2] for path, when in snapshot(out).items() if before.get(path) != when}
    assert changed == {"p1"}
    before = snapshot(out)
    assert predict(model, scans, "-o", out, "--force") == 0
    assert all(when != before[path] for path, when in snapshot(out).items() if path.suffix == ".gz")
    before = snapshot(out)
    write_json(model[0] / "package.json", {"another": "model"})
    assert predict(model, scans / "p2.nii.gz", "-o", out) == 0
    changed = {path.name[:2] for path, when in snapshot(out).items() if before.get(path) != when}
    assert changed - {".s"} == {"p2"}


def test_what_a_kill_left_after_the_last_file_goes_though_nothing_is_left_to_do(model, tmp_path):
    scan, out = nifti(tmp_path / "p0.nii.gz", tube()), tmp_path / "out"
    assert predict(model, scan, "-o", out) == 0
    before = snapshot(out)
    left = out / ".spinalroots.0a1b2c3d"  # as `files_together` has it when all is moved up
    (left / "ready").mkdir(parents=True)
    write_json(left / "over.json", {})
    (left / "lock").touch()
    assert predict(model, scan, "-o", out) == 0
    assert len(model[1]) == 1
    assert {path.name for path in snapshot(out)} == {path.name for path in before}


def test_a_correction_stays_and_counts_as_done(model, tmp_path, capsys):
    scan, out = nifti(tmp_path / "p.nii.gz", tube()), tmp_path / "out"
    assert predict(model, scan, "-o", out) == 0
    mask = out / f"p_{INDIVIDUALS}"
    mask.write_bytes(b"corrected by an expert")
    assert predict(model, scan, "-o", out) == 0
    assert "up to date" in capsys.readouterr().out
    assert predict(model, scan, "-o", out, "--force") == 2
    assert mask.read_bytes() == b"corrected by an expert"


def test_every_output_is_listed_with_what_it_is(model, tmp_path):
    out = tmp_path / "out"
    assert predict(model, nifti(tmp_path / "p.nii.gz", tube()), "-o", out, "--surfaces") == 0
    record = json.loads((out / "p_prediction.json").read_text(encoding="utf-8"))
    listed = {entry["file"] for entry in record["outputs"]}
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert listed == there - {".spinalroots"}
    assert any(name.startswith("p_surfaces/") for name in listed)
    assert "p_label-individuals_dseg.ctbl" in listed
    assert all(entry["what"] != "a file of the prediction" for entry in record["outputs"])


def test_a_bids_data_set_gives_bids_derivatives(model, tmp_path, capsys):
    root, out = tmp_path / "study", tmp_path / "out"
    data = root / "rawdata"
    nifti(data / "sub-01/anat/sub-01_T2w.nii.gz", tube())
    nifti(data / "sub-01/anat/sub-01_T1w.nii.gz", tube(5))
    nifti(data / "sub-02/ses-a/anat/sub-02_ses-a_T2w.nii.gz", tube(1))
    write_json(data / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0"})
    assert predict(model, root, "-o", out) == 0
    assert (out / "sub-01/anat/sub-01_label-levels_dseg.nii.gz").is_file()
    assert (out / "sub-02/ses-a/anat/sub-02_ses-a_label-levels_dseg.nii.gz").is_file()
    described = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert described["DatasetType"] == "derivative"
    assert "left out" in (said := capsys.readouterr().err)
    assert "sub-01_T1w.nii.gz: no T2w scan" in said
    assert predict(model, root, "-o", out) == 0
    assert len(model[1]) == 1


def test_scans_of_one_name_are_kept_apart(model, tmp_path):
    scans = [nifti(tmp_path / f"p{number}/image.nii.gz", tube(number)) for number in range(2)]
    assert predict(model, *scans, "-o", tmp_path / "out") == 0
    for number in range(2):
        assert (tmp_path / f"out/p{number}/image_{INDIVIDUALS}").is_file()
    assert predict(model, *scans, "-o", tmp_path / "out") == 0
    assert len(model[1]) == 1


def test_masks_and_results_in_a_folder_are_no_scans(tmp_path):
    for name in ("t2.nii.gz", "L3_D_L.nii.gz", "deep/knee.nii.gz", "._t2.nii.gz"):
        nifti(tmp_path / name, tube())
    itk(tmp_path / "Segmentation.seg.nrrd", tube())
    found = sources.find([tmp_path])
    assert [str(one.folder / one.stem) for one in found.scans] == ["deep/knee", "t2"]
    assert {os.path.basename(path) for path in found.left} == {
        "L3_D_L.nii.gz",
        "Segmentation.seg.nrrd",
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"found none|no scan"):
        sources.find([tmp_path / "empty"])


def test_a_subject_that_is_called_like_a_level_is_no_mask(tmp_path):
    for name in ("S1.nii.gz", "S12.nii.gz", "C3_T2w.nii.gz", "L2_image.nii.gz"):
        nifti(tmp_path / name, tube())
    scan = tube()
    one_value = scan.with_data((scan.data > scan.data.mean()).astype(np.uint8))
    for name in ("L5.nii.gz", "S12_L4.nii.gz", "L4_seg.nii.gz", "S2_D_L.nii.gz"):
        nifti(tmp_path / name, one_value)
    (tmp_path / "S3.nii.gz").write_bytes((tmp_path / "S1.nii.gz").read_bytes()[:2000])
    nifti(tmp_path / "S20.nii.gz", scan.with_data(np.full_like(scan.data, 7)))
    found = sources.find([tmp_path])
    assert [one.stem for one in found.scans] == ["C3_T2w", "L2_image", "S1", "S12", "S20", "S3"]
    assert set(found.left.values()) == {"a mask, by its name"}


def test_a_fault_of_the_program_ends_with_1_and_the_others_are_done(model, tmp_path, capsys):
    class Faulty(Exception):
        pass

    scans = tmp_path / "scans"
    for number in range(3):
        nifti(scans / f"p{number}.nii.gz", tube(number))
    write, calls = batch.writing.write, []

    def sometimes(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 2:
            raise Faulty("by mistake")
        return write(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch.writing, "write", sometimes)
        assert predict(model, scans, "-o", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "Faulty: by mistake" in said.err
    assert "2 done, 1 fault of the program" in said.out
    assert predict(model, scans, "-o", tmp_path / "out") == 0


def test_quiet_says_nothing_but_errors(model, tmp_path, capsys):
    scans = tmp_path / "scans"
    nifti(scans / "a.nii.gz", tube())
    nifti(scans / "b.nii.gz", tube(1))
    assert predict(model, scans, "-o", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert predict(model, tmp_path / "none.nii.gz", "-o", tmp_path / "out", "--quiet") == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.out == ""


def test_a_bar_over_scans_tells_the_time_left(model, tmp_path, capsys):
    scans = tmp_path / "scans"
    for number in range(3):
        nifti(scans / f"p{number}.nii.gz", tube(number))
    assert predict(model, scans, "-o", tmp_path / "out") == 0
    assert "3/3" in capsys.readouterr().err


def test_nifti_nrrd_metaimage_and_dicom_of_one_scan_give_the_same_masks(model, tmp_path):
    out = tmp_path / "out"
    given = [
        nifti(tmp_path / "nifti.nii.gz", tube()),
        itk(tmp_path / "nrrd.nrrd", tube()),
        itk(tmp_path / "meta.mha", tube()),
        dicom(tmp_path / "dicom", tube()),
    ]
    assert predict(model, *given, "-o", out) == 0
    for ending in (INDIVIDUALS, "label-tissues_dseg.nii.gz"):
        first, *others = (
            mask_mm(out / f"{name}_{ending}") for name in ("nifti", "nrrd", "meta", "dicom")
        )
        assert len(first) > 100
        assert all(same_place(first, other) for other in others)
    grid = nib.load(out / f"nrrd_{INDIVIDUALS}")
    assert np.allclose(grid.affine, tube().affine, atol=1e-3)


def test_a_model_that_cannot_be_loaded_by_processes_of_their_own_ends_the_run(model, tmp_path):
    """There the stub is unknown, and package.json is none: one error, and nothing written."""
    scans = [nifti(tmp_path / f"{name}.nii.gz", tube()) for name in "ab"]
    assert predict(model, *scans, "-o", tmp_path / "out", "--jobs", 2) == 2
    assert not (tmp_path / "out").exists()


def test_side_by_side_they_keep_their_order_end_on_ctrl_c_and_go_on(tmp_path, smoke_params):
    """A real network, as a stub is unknown in other processes; so many scans that a Ctrl-C after
    the first comes long before the last, on a busy machine too."""
    names = [f"p{number:02}" for number in range(30)]
    folder = write_packaged(tmp_path / "model", smoke_params, export=False)
    scans, out, report = tmp_path / "scans", tmp_path / "out", tmp_path / "run.json"
    for name in names:
        nifti(scans / f"{name}.nii.gz", tube(int(name[1:]) % 6))
    (scans / "p02.nii.gz").write_bytes((scans / "p00.nii.gz").read_bytes()[:2000])
    command = [sys.executable, "-m", "spinalroots", "predict", str(scans), "-o", str(out)]
    command += ["-m", str(folder), "--device", "cpu", "--jobs", "2", "--report", str(report)]

    def done() -> set[str]:
        return {path.name[:3] for path in out.glob("*_prediction.json")}

    for _ in range(5):  # a Ctrl-C that comes when all is done interrupts nothing
        shutil.rmtree(out, ignore_errors=True)
        report.unlink(missing_ok=True)
        first = subprocess.Popen(
            command, start_new_session=True, stderr=subprocess.PIPE, encoding="utf-8"
        )
        while first.poll() is None and not done():
            time.sleep(0.02)
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to all of the command
        _, said = first.communicate()
        if first.returncode != 2:
            break
    assert first.returncode == 130
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    before = done()
    assert before
    assert not report.exists()
    second = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert second.returncode == 2
    assert second.stderr.count("error: ") == 1
    assert "p02.nii.gz: expected a complete file" in second.stderr
    told = json.loads(report.read_text(encoding="utf-8"))["scans"]
    assert [one["scan"] for one in told] == [str(scans / f"{name}.nii.gz") for name in names]
    assert {one["scan"][-10:-7] for one in told if one["status"] == "up to date"} >= before
    assert done() == set(names) - {"p02"}
    assert not [path for path in out.iterdir() if "incoming" in path.name]
