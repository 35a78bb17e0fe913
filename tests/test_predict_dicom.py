"""DICOM in, and DICOM-SEG out: every kind of DICOM, the same voxels at the same place."""

from __future__ import annotations

import json
import shutil

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scan_files import affine, dicom, enhanced, mask_mm, nifti, same_place, tube

from spinalroots import cli
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import Volume, read_image
from spinalroots.ingest.dicom import read_series, read_stack, stacks_below
from spinalroots.registry.anatomy import ROOT_TISSUE, Root, Scheme

INDIVIDUALS = "label-individuals_dseg.nii.gz"


@pytest.fixture
def predict(stubbed_model):
    """The command, with a stub for the network."""

    def run(*arguments) -> int:
        given = [*map(str, arguments), "-m", str(stubbed_model), "--device", "cpu"]
        return cli.main(["predict", *given])

    return run


@pytest.fixture
def wanted(predict, tmp_path) -> np.ndarray:
    """The mask of the plain scan, in the world."""
    assert predict(nifti(tmp_path / "plain.nii.gz", tube()), "-o", tmp_path / "plain") == 0
    return mask_mm(tmp_path / "plain" / f"plain_{INDIVIDUALS}")


def files(folder, edit=None):
    return dicom(folder / "series", tube(), edit)


def without_preamble(folder):
    for path in files(folder).iterdir():
        path.write_bytes(path.read_bytes()[132:])
    return folder / "series"


def without_any_head(folder):
    """Nothing but the data set, implicit little endian."""
    for path in files(folder).iterdir():
        dataset = pydicom.dcmread(path)
        bare = pydicom.Dataset()
        bare.update({one.tag: one for one in dataset})
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
    return folder / "series"


def jittered(folder):
    shift = np.random.default_rng(0).uniform(-0.03, 0.03, 40)

    def edit(dataset, number):
        place = np.array(dataset.ImagePositionPatient, float)
        axes = np.array(dataset.ImageOrientationPatient, float)
        place += np.cross(axes[:3], axes[3:]) * shift[number]
        dataset.ImagePositionPatient = [f"{value:.8g}" for value in place]

    return files(folder, edit)


def jpeg_2000(folder):
    packed = folder / "packed"
    packed.mkdir()
    for path in files(folder).iterdir():
        image = sitk.ReadImage(str(path))
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.SetFileName(str(packed / path.name))
        plane = sitk.GetImageFromArray(sitk.GetArrayFromImage(image)[0])
        for key in image.GetMetaDataKeys():
            if not key.startswith(("0020|003", "0028", "7fe0")):
                plane.SetMetaData(key, image.GetMetaData(key))
        writer.Execute(plane)
        told, source = pydicom.dcmread(packed / path.name), pydicom.dcmread(path)
        assert told.file_meta.TransferSyntaxUID.is_compressed
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            setattr(told, name, getattr(source, name))
        told.save_as(packed / path.name)
    return packed


def disc_of_a_patient(folder):
    """DICOMDIR at the top, files without endings deep below, a localiser and a report beside."""
    source, home = files(folder), folder / "cd/IMAGES/ST0/SE1"
    home.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        shutil.copy(path, home / f"IM{number:05d}")
    scout = Volume(tube().data[:, :, :3], affine())
    dicom(folder / "cd/IMAGES/ST0/SE0", scout, series="1.2.3.5")
    listing = pydicom.Dataset()
    listing.file_meta = pydicom.dataset.FileMetaDataset()
    listing.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    listing.file_meta.MediaStorageSOPInstanceUID = "1.2.3.8"
    listing.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    listing.FileSetID = "CD"
    listing.save_as(folder / "cd/DICOMDIR", enforce_file_format=True)
    (folder / "cd/README.TXT").write_text("viewer", encoding="utf-8")
    return folder / "cd"


KINDS = {
    "a file a slice": files,
    "no preamble": without_preamble,
    "neither preamble nor meta header": without_any_head,
    "jitter of 0.03 mm between slices": jittered,
    "JPEG 2000": jpeg_2000,
    "a patient's CD": disc_of_a_patient,
    "enhanced multi-frame": lambda folder: enhanced(folder / "enhanced/IM1.dcm", tube()).parent,
    "enhanced, the file itself": lambda folder: enhanced(folder / "IM1.dcm", tube()),
    "enhanced with a scale": lambda folder: (
        enhanced(folder / "e/IM1.dcm", tube(), slope=0.5).parent
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dicom_gives_the_same_masks(kind, predict, wanted, tmp_path):
    given = KINDS[kind](tmp_path)
    assert predict(given, "-o", tmp_path / "out") == 0
    (mask,) = (tmp_path / "out").rglob(f"*_{INDIVIDUALS}")
    found = mask_mm(mask)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 0.1 if "jitter" in kind else same_place(found, wanted)


def test_two_echoes_are_two_scans(predict, wanted, tmp_path):
    path = enhanced(tmp_path / "scan/IM1.dcm", tube(), echoes=(30.0, 90.0))
    assert predict(path.parent, "-o", tmp_path / "out") == 0
    masks = sorted((tmp_path / "out").rglob(f"*_{INDIVIDUALS}"))
    assert [one.name.split("_label")[0] for one in masks] == [
        "scan_series-7_echo-30",
        "scan_series-7_echo-90",
    ]
    assert all(same_place(mask_mm(one), wanted) for one in masks)


def test_ingest_lists_the_series_to_choose_from(tmp_path):
    path = enhanced(tmp_path / "scan/IM1.dcm", tube(), echoes=(30.0, 90.0))
    with pytest.raises(InputError) as told:
        read_series(path.parent)
    for words in ("echo 30 ms", "echo 90 ms", "40 slices of 32×30"):
        assert words in str(told.value)


def shifted(dataset, number):
    if number == 20:
        place = np.add(np.array(dataset.ImagePositionPatient, float), [0.7, 0, 0])
        dataset.ImagePositionPatient = [*map(float, place)]


def other_pixels(dataset, number):
    if number == 20:
        dataset.PixelSpacing = [1.3, 1.3]


@pytest.mark.parametrize(
    ("edit", "words"), [(shifted, "0.7 mm beside the first"), (other_pixels, "pixels of 1.3")]
)
def test_a_slice_that_does_not_fit_its_stack_is_named(edit, words, tmp_path):
    folder = files(tmp_path, edit)
    (odd,) = (path for path in folder.iterdir() if int(pydicom.dcmread(path).InstanceNumber) == 21)
    with pytest.raises(InputError, match=words) as told:
        read_series(folder)
    assert told.value.where == str(odd) or odd.name in told.value.expected


@pytest.fixture
def segmentation(predict, tmp_path):
    """The source's folder, the written segmentation, and the NIfTI map beside it."""
    source = dicom(tmp_path / "series", tube())
    assert predict(source, "-o", tmp_path / "out", "--dicom-seg") == 0
    out = tmp_path / "out"
    return source, out / "series_seg.dcm", out / f"series_{INDIVIDUALS}"


def test_a_dicom_segmentation_reads_back_by_highdicom(segmentation):
    source, written, mask = segmentation
    seg = highdicom.seg.segread(written)
    labels = read_image(mask)
    by_name = {str(Root.from_value(int(v))): int(v) for v in np.unique(labels.data) if v}
    sources = [pydicom.dcmread(path, stop_before_pixels=True) for path in source.iterdir()]
    place = {str(one.SOPInstanceUID): np.array(one.ImagePositionPatient, float) for one in sources}
    seen = set()
    for number in seg.segment_numbers:
        described = seg.get_segment_description(number)
        kind = described.segmented_property_type
        assert kind.scheme_designator == "SCT"
        if described.segment_label not in by_name:
            continue
        root = Root.parse(described.segment_label)
        seen.add(str(root))
        assert (kind.value, kind.meaning) == ("40958000", "Nerve root structure")
        (own,) = described.primary_anatomic_structures
        assert (own.value, own.scheme_designator) == (str(root), "99SPINALROOTS")
        uids = sorted(place, key=lambda uid: place[uid] @ np.array([0, 0.12186934, 0.99254615]))
        planes = seg.get_pixels_by_source_instance(uids, segment_numbers=[number])
        assert planes.sum() == np.count_nonzero(labels.data == by_name[str(root)])
        matrix = np.column_stack(
            [
                *(np.reshape(sources[0].ImageOrientationPatient, (2, 3)).astype(float).T * 1.2).T,
            ]
        )
        frames, rows, columns = np.nonzero(planes[..., 0])
        points = np.array([place[uids[frame]] for frame in frames])
        points = points + np.column_stack([columns, rows]) @ matrix.T
        points = points * [-1, -1, 1]
        expected = labels.grid.to_mm(np.argwhere(labels.data == by_name[str(root)]))
        order = [np.lexsort(np.round(one, 2).T) for one in (points, expected)]
        assert np.abs(points[order[0]] - expected[order[1]]).max() < 1e-3
    assert seen == set(by_name)
    assert {"CSF", *by_name} == {
        seg.get_segment_description(number).segment_label for number in seg.segment_numbers
    }


def test_a_dicom_segmentation_reads_back_by_simpleitk(segmentation):
    """Frames by their own positions: DICOM-SEG leaves empty ones out."""
    _, written, mask = segmentation
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(written)))
    header = pydicom.dcmread(written)
    labels = read_image(mask)
    (shared,) = header.SharedFunctionalGroupsSequence
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    axes = np.reshape(
        np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float), (2, 3)
    )
    names = {int(one.SegmentNumber): one.SegmentLabel for one in header.SegmentSequence}
    found: dict[str, list] = {}
    for plane, frame in zip(image, header.PerFrameFunctionalGroupsSequence, strict=True):
        name = names[int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(plane)
        points = (
            place + np.outer(columns * spacing[1], axes[0]) + np.outer(rows * spacing[0], axes[1])
        )
        found.setdefault(name, []).append(points * [-1, -1, 1])
    for value in np.unique(labels.data[labels.data > 0]):
        expected = labels.grid.to_mm(np.argwhere(labels.data == value))
        points = np.concatenate(found[str(Root.from_value(int(value)))])
        order = [np.lexsort(np.round(one, 2).T) for one in (points, expected)]
        assert np.abs(points[order[0]] - expected[order[1]]).max() < 1e-3


def test_a_dicom_segmentation_refers_to_its_source_instances(segmentation):
    source, written, _ = segmentation
    seg = pydicom.dcmread(written)
    (series,) = seg.ReferencedSeriesSequence
    assert str(series.SeriesInstanceUID) == "1.2.3.4"
    instances = {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedInstanceSequence}
    assert instances == {str(pydicom.dcmread(path).SOPInstanceUID) for path in source.iterdir()}
    assert (str(seg.StudyInstanceUID), str(seg.PatientID)) == ("1.2.3", "4711")
    assert str(seg.FrameOfReferenceUID) == "1.2.3.99"


def test_an_enhanced_source_gets_a_segmentation_too(predict, wanted, tmp_path):
    source = enhanced(tmp_path / "series/IM1.dcm", tube())
    assert predict(source.parent, "-o", tmp_path / "out", "--dicom-seg") == 0
    seg = highdicom.seg.segread(tmp_path / "out/series_seg.dcm")
    points = []
    header = pydicom.dcmread(tmp_path / "out/series_seg.dcm")
    names = {int(one.SegmentNumber): one.SegmentLabel for one in header.SegmentSequence}
    for plane, frame in zip(seg.pixel_array, header.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        if names[number] == "CSF":
            continue
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        (shared,) = header.SharedFunctionalGroupsSequence
        axes = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
        rows, columns = np.nonzero(plane)
        found = place + 1.2 * (np.outer(columns, axes[0]) + np.outer(rows, axes[1])).astype(float)
        value = Root.parse(names[number]).value
        points += [(*point, value) for point in found * [-1, -1, 1]]
    found = np.array(points)
    order = [np.lexsort(np.round(one[:, :3], 2).T) for one in (found, wanted)]
    assert np.abs(found[order[0]] - wanted[order[1]]).max() < 2e-3


def test_a_dicom_segmentation_of_another_format_is_refused(predict, tmp_path, capsys):
    scan = nifti(tmp_path / "scan.nii.gz", tube())
    assert predict(scan, "-o", tmp_path / "out", "--dicom-seg") == 2
    assert "expected a DICOM series" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_series_gives_a_scan_each(predict, tmp_path):
    for number in range(2):
        dicom(tmp_path / f"study/s{number}", tube(number), series=f"1.2.3.{number + 4}")
    report = tmp_path / "run.json"
    assert predict(tmp_path / "study", "-o", tmp_path / "out", "--report", report) == 0
    told = json.loads(report.read_text(encoding="utf-8"))
    assert [one["status"] for one in told["scans"]] == ["done", "done"]
    assert (tmp_path / f"out/s0_{INDIVIDUALS}").is_file()
    assert (tmp_path / f"out/s1_{INDIVIDUALS}").is_file()


def test_the_slices_of_a_stack_lie_in_the_order_of_its_voxels(tmp_path):
    (stack,) = stacks_below(dicom(tmp_path / "series", tube()))
    series = read_stack(stack)
    native = series.scan.native
    for index, one in enumerate(series.slices):
        ras = native.affine @ [0, 0, index, 1]
        assert np.allclose(ras[:3] * [-1, -1, 1], one.position, atol=1e-4)


def test_what_predict_drew_as_dicom_comes_back_as_a_correction(segmentation, tmp_path, monkeypatch):
    """The whole way in DICOM: series in, draft as DICOM-SEG, and back with `ingest --replace`."""
    monkeypatch.chdir(tmp_path)
    series, written, mask = segmentation
    raw = tmp_path / "raw"
    common = ("--root", str(raw), "--no-dvc")
    assert cli.main(["ingest", str(series), *common]) == 0
    assert cli.main(["ingest", "--replace", "sub-001", str(written), *common]) == 0
    stored = Dataset(raw)
    assert np.allclose(nib.load(stored.image("sub-001")).affine, nib.load(mask).affine, atol=1e-3)
    for scheme in (Scheme.INDIVIDUALS, Scheme.TISSUES):
        drafted = read_image(mask.with_name(f"series_label-{scheme}_dseg.nii.gz")).data
        back = read_image(stored.labels("sub-001", scheme)).data
        # All roots are no segment: those that have a name come back by it.
        assert np.array_equal(back, np.where(drafted == ROOT_TISSUE, 0, drafted)), scheme
        assert np.count_nonzero(back) > 100
