"""Who a person is, written into every place of a file, is found in nothing that is made of it.

A word and a number stand for a person. Names of files and folders are a person's own: `predict`
keeps them, `ingest` does not. A DICOM segmentation carries its source's patient on, see below.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hostile_itk import meta, nrrd
from PIL import Image
from pydicom.uid import UID
from scan_files import dicom, itk_image, stub_model, tube

from spinalroots import cli
from spinalroots.pipeline import tracking
from spinalroots.pipeline.logged_data import Data
from spinalroots.stages import check

WORD, NUMBER = "MARKERJANE", "31415926535"
TEXTS = (
    *("PatientName", "OtherPatientNames", "PatientComments", "PatientAddress", "PatientID"),
    *("InstitutionName", "InstitutionAddress", "StationName", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "OperatorsName", "StudyDescription", "SeriesDescription"),
    *("ProtocolName", "ImageComments", "StudyID", "AccessionNumber", "RequestingPhysician"),
    *("DeviceSerialNumber", "SequenceName", "PerformedProcedureStepID", "BodyPartExamined"),
)


def marked(dataset, number: int) -> None:
    """Every place of a DICOM slice."""
    for name in TEXTS:
        setattr(dataset, name, WORD)
    dataset.StudyInstanceUID = UID(f"1.2.{NUMBER}.1")
    dataset.FrameOfReferenceUID = UID(f"1.2.{NUMBER}.2")
    dataset.SOPInstanceUID = UID(f"1.2.{NUMBER}.3.{number}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationVersionName = WORD
    dataset.PatientBirthDate = "19700101"
    inner = pydicom.Dataset()
    inner.RequestedProcedureDescription = WORD
    dataset.RequestAttributesSequence = [inner]
    dataset.private_block(0x0011, WORD, create=True).add_new(0x01, "LO", WORD)
    dataset.add_new(0x60003000, "OW", WORD.encode() * 2)
    dataset.add_new(0x60000022, "LO", WORD)
    dataset.preamble = (WORD.encode() * 13)[:128]


def in_dicom(folder: Path) -> Path:
    return dicom(folder, tube(), marked, series=f"1.2.{NUMBER}")


def in_nifti(folder: Path) -> Path:
    image = nib.Nifti1Image(tube().data.astype(np.int16), tube().affine)
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        image.header[field] = WORD
    for code in (2, 4, 6, 16):
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, WORD.encode()))
    path = folder / "image.nii.gz"
    with gzip.GzipFile(f"{WORD}.nii", "wb", fileobj=path.open("wb")) as stream:
        stream.write(image.to_bytes() + WORD.encode())
    record = {"PatientName": WORD, "AccessionNumber": NUMBER}
    (folder / "image.json").write_text(json.dumps(record), encoding="utf-8")
    return path


def in_analyze(folder: Path) -> Path:
    image = nib.AnalyzeImage(tube().data.astype(np.int16), tube().affine)
    nib.save(image, folder / "scan.img")
    content = bytearray((folder / "scan.hdr").read_bytes())
    for at in (4, 14, 148, 228):  # data_type, db_name, descrip, aux_file
        content[at : at + len(WORD)] = WORD.encode()
    (folder / "scan.hdr").write_bytes(content)
    return folder / "scan.hdr"


def in_nrrd(folder: Path) -> Path:
    path = folder / "scan.nrrd"
    path.write_bytes(nrrd(content=WORD, more=f"# {WORD}\npatient:={WORD}\nid:={NUMBER}\n"))
    return path


def in_meta(folder: Path) -> Path:
    path = folder / "scan.mha"
    path.write_bytes(meta(Comment=WORD, Name=WORD, more=f"PatientID = {NUMBER}\nWho = {WORD}\n"))
    return path


SCANS = [in_dicom, in_nifti, in_analyze, in_nrrd, in_meta]


def lab(folder: Path, scan) -> Path:
    """A scan's folder called after its patient, masks of every kind beside it."""
    folder = folder / f"{WORD} {NUMBER}"
    folder.mkdir(parents=True)
    if scan is in_dicom:
        in_dicom(folder)
    else:
        in_nifti(folder)
    mask = np.zeros(tube().data.shape, np.uint8)
    mask[10:12, 12:14, 8:30] = 1
    image = nib.Nifti1Image(mask, tube().affine)
    image.header["descrip"] = WORD
    (folder / f"masks {WORD}").mkdir()
    nib.save(image, folder / f"masks {WORD}" / "L3_D_L.nii.gz")
    drawn = itk_image(tube().with_data(np.roll(mask, 8, axis=0)))
    drawn = sitk.Cast(drawn, sitk.sitkUInt8)
    named = {"Segment0_Name": "L3_D_R", "Segment0_ID": WORD, "Segment0_Tags": WORD, "Who": WORD}
    for key, value in named.items():
        drawn.SetMetaData(key, value)
    sitk.WriteImage(drawn, str(folder / f"{WORD}.seg.nrrd"))
    points = [{"label": WORD, "position": [-x, -y, z]} for x, y, z in curve()]
    markup = {"type": "Curve", "coordinateSystem": "LPS", "name": WORD, "controlPoints": points}
    text = json.dumps({"markups": [markup], "who": WORD})
    (folder / f"{WORD}_nerveroots_L4_D_L.mrk.json").write_text(text, encoding="utf-8")
    return folder.parent


def curve() -> np.ndarray:
    return tube().grid.to_mm(np.array([[15.0, 18, z] for z in (10, 15, 20)]))


def bids(folder: Path) -> Path:
    anat = folder / WORD / f"sub-{WORD}" / f"ses-{NUMBER}" / "anat"
    anat.mkdir(parents=True)
    in_nifti(anat)
    (anat / "image.nii.gz").rename(anat / f"sub-{WORD}_ses-{NUMBER}_T2w.nii.gz")
    (anat / "image.json").rename(anat / f"sub-{WORD}_ses-{NUMBER}_T2w.json")
    root = folder / WORD
    (root / "participants.tsv").write_text(f"participant_id\tname\nsub-{WORD}\t{WORD}\n")
    (root / "dataset_description.json").write_text(json.dumps({"Name": WORD, "Authors": [WORD]}))
    return root


def found(folder: Path) -> list[str]:
    """Where the word or the number stands in a folder: names, and contents unpacked."""
    places = []
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        content = name.encode()
        if path.is_file():
            content += b"\n" + path.read_bytes()
            if path.suffix == ".gz":
                content += gzip.decompress(path.read_bytes())
            if path.suffix == ".png":
                content += repr(Image.open(io.BytesIO(path.read_bytes())).info).encode()
        content += content.decode("utf-16-le", "ignore").encode()
        if any(mark.lower().encode() in content.lower() for mark in (WORD, NUMBER)):
            places.append(name)
    return places


def test_the_marks_are_in_the_sources_and_are_found_there(tmp_path):
    for make in SCANS:
        place = tmp_path / make.__name__
        place.mkdir()
        make(place)
        assert found(place)


@pytest.mark.parametrize("scan", [in_dicom, in_nifti], ids=["dicom", "nifti"])
def test_nothing_of_a_person_is_ingested(scan, tmp_path, monkeypatch, smoke_params):
    """Nor gets into the report of the check, nor into MLflow's run of a training on it."""
    source, root = lab(tmp_path / "source", scan), tmp_path / "project" / "data/raw/ingested"
    root.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/project/mlflow.db")
    assert cli.main(["ingest", str(source), "--root", str(root), "--no-dvc"]) == 0
    masks = source / f"{WORD} {NUMBER}" / f"masks {WORD}" / "L3_D_L.nii.gz"
    more = ["--replace", "sub-001", "--root", str(root), "--no-dvc"]
    assert cli.main(["ingest", str(masks), *more]) == 0
    data = smoke_params.data.model_copy(update={"source": "ingested"})
    check.main(smoke_params.model_copy(update={"workers": 1, "data": data}))
    if scan is in_nifti:
        told = [Data(Path("data/raw/ingested"), ["sub-001"], ["L3"], "training")]
        with tracking.run("train", kind="training", data=told, params={"seed": 1}):
            pass
    written = [path for path in (tmp_path / "project").rglob("*") if path.is_file()]
    assert len(written) > 8
    assert found(tmp_path / "project") == []


def test_nothing_of_a_bids_data_set_is_ingested(tmp_path):
    root = tmp_path / "raw"
    command = ["ingest", str(bids(tmp_path / "source")), "--root", str(root), "--no-dvc"]
    assert cli.main(command) == 0
    assert (root / "sub-001" / "anat" / "sub-001_T2w.nii.gz").is_file()
    assert found(root) == []


@pytest.fixture
def predict(smoke_params, monkeypatch, tmp_path):
    from spinalroots.predict import batch, load

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "package.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(load, "load", lambda *_: stub_model(smoke_params))
    batch.loaded.cache_clear()

    def run(scan: Path, out: Path, *more: str) -> int:
        given = [str(scan), "-o", str(out), "-m", str(tmp_path / "model"), "--device", "cpu"]
        return cli.main(["predict", *given, "--report", str(out.with_suffix(".json")), *more])

    yield run
    batch.loaded.cache_clear()


@pytest.mark.parametrize("make", SCANS, ids=lambda make: make.__name__)
def test_no_word_of_a_header_is_in_a_prediction(make, predict, tmp_path):
    place, out = tmp_path / "scan", tmp_path / "made" / "out"
    place.mkdir()
    out.parent.mkdir()
    scan = make(place)
    more = ["--orientation", "RAS"] if make is in_analyze else []
    more += ["--surfaces"] if make is in_nifti else []
    assert predict(scan, out, *more) == 0
    assert len(list(out.rglob("*"))) > 15
    assert found(out.parent) == []


def test_no_word_of_a_map_is_in_a_renamed_one(predict, tmp_path):
    labels = np.zeros(tube().data.shape, np.uint8)
    labels[10:12, 12:14, 8:30] = 20
    image = nib.Nifti1Image(labels, tube().affine)
    image.header["descrip"] = image.header["aux_file"] = WORD
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", WORD.encode()))
    nib.save(image, tmp_path / "levels.nii.gz")
    out = tmp_path / "out"
    assert (
        cli.main(["rename", str(tmp_path / "levels.nii.gz"), "--shift", "1", "-o", str(out)]) == 0
    )
    assert found(out) == []


def test_a_dicom_segmentation_repeats_what_it_must_and_nothing_else(predict, tmp_path):
    """Patient, study and frame of reference, so that an archive files it with its source (DICOM
    PS3.3 A.51: the modules Patient, General Study and Frame of Reference); no private tag, comment,
    institution, operator or overlay."""
    out = tmp_path / "out"
    assert predict(in_dicom(tmp_path / "scan"), out, "--dicom-seg") == 0
    written = pydicom.dcmread(out / "scan_seg.dcm")
    assert found(out) == ["scan_seg.dcm"]
    texts = {
        element.keyword
        for element in written
        if element.VR != "UI" and WORD.encode() in str(element.value).encode()
    }
    assert texts == {
        *("PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
    }
    assert not any(element.tag.is_private or element.tag.group == 0x6000 for element in written)
    assert {uid for uid in map(str, _uids(written)) if NUMBER in uid} == {
        f"1.2.{NUMBER}",
        f"1.2.{NUMBER}.1",
        f"1.2.{NUMBER}.2",
        *(f"1.2.{NUMBER}.3.{number}" for number in _referred(written)),
    }


def _uids(dataset):
    for element in dataset.iterall():
        if element.VR == "UI":
            yield from [element.value] if isinstance(element.value, str) else element.value


def _referred(written) -> list[int]:
    named = written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    return [int(str(one.ReferencedSOPInstanceUID).rsplit(".", 1)[1]) for one in named]
