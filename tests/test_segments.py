"""Segmentations with many named segments come back: 3D Slicer's `.seg.nrrd`, DICOM-SEG."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from lab_scans import individual_map, lab_folder, scan, snapshot, write_dicom

from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.ingest import ingest, plan, replace_masks
from spinalroots.ingest.dicom import read_series
from spinalroots.registry.anatomy import Root, Scheme

LEFT, RIGHT = (Root.parse(name).value for name in ("L3_D_L", "L3_D_R"))


def drawn() -> dict[str, np.ndarray]:
    """Two corrected roots and the mask of all roots, RAS+, on the grid of :func:`scan`."""
    left, right = individual_map() == LEFT, individual_map() == RIGHT
    left[3:5, 8, 10] = True
    right[5, 8, 2:4] = False
    return {"L3_D_L": left, "L3 dorsal right": right, "roots": individual_map() != 0}


def slicer(path, masks, *, layers, box=(slice(None),) * 3, affine=None):
    """The masks as 3D Slicer writes them (LPS, key-values), `box` of the scan's voxels only."""
    affine = scan().affine if affine is None else affine
    stack = [mask[box].astype(np.uint8) for mask in masks.values()]
    fields = {}
    if layers:
        image = sitk.GetImageFromArray(np.stack(stack, -1).transpose(2, 1, 0, 3), isVector=True)
        places = [(1, layer) for layer in range(len(stack))]
    else:
        labels = np.zeros(stack[0].shape, np.uint8)
        for number, mask in enumerate(stack):
            labels[mask != 0] = 7 - number  # label values are no numbers of segments
        image = sitk.GetImageFromArray(labels.transpose(2, 1, 0))
        places = [(7 - number, 0) for number in range(len(stack))]
    for number, (name, (value, layer)) in enumerate(zip(masks, places, strict=True)):
        fields |= {
            f"Segment{number}_Name": name,
            f"Segment{number}_ID": f"Segment_{number + 1}",
            f"Segment{number}_LabelValue": str(value),
            f"Segment{number}_Layer": str(layer),
            f"Segment{number}_Extent": "0 1 0 1 0 1",
        }
    start = [side.start or 0 for side in box]
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((lps @ [*start, 1])[:3].tolist())
    for key, value in {**fields, "Segmentation_MasterRepresentation": "Binary labelmap"}.items():
        image.SetMetaData(key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def stored(raw, scheme):
    return read_labels(Dataset(raw).labels("sub-001", scheme)).data


def require_came_in(raw, masks):
    individuals = stored(raw, Scheme.INDIVIDUALS)
    assert np.array_equal(individuals == LEFT, masks["L3_D_L"])
    assert np.array_equal(individuals == RIGHT, masks["L3 dorsal right"])


def test_slicers_segments_come_back_by_their_names(raw, tmp_path):
    masks = {name: mask for name, mask in drawn().items() if name != "roots"}
    path = slicer(tmp_path / "back" / "Segmentation.seg.nrrd", masks, layers=False)
    replace_masks("sub-001", path, raw)
    require_came_in(raw, masks)
    replace_masks("sub-001", path.parent, raw)  # the folder that it lies in, as well
    require_came_in(raw, masks)


def test_overlapping_segments_in_layers_come_back(raw, tmp_path):
    masks = drawn()
    replace_masks("sub-001", slicer(tmp_path / "all.seg.nrrd", masks, layers=True), raw)
    require_came_in(raw, masks)
    assert np.array_equal(stored(raw, Scheme.ENTITY) != 0, masks["roots"])


@pytest.mark.parametrize("layers", [False, True])
def test_a_stored_box_smaller_than_the_scan_lands_where_it_was_drawn(layers, raw, tmp_path):
    masks = {name: mask for name, mask in drawn().items() if name != "roots"}
    box = (slice(2, 9), slice(7, 12), slice(1, 12))
    path = slicer(tmp_path / "cut.seg.nrrd", masks, layers=layers, box=box)
    replace_masks("sub-001", path, raw)
    require_came_in(raw, masks)


def test_a_segmentation_beside_its_scan_is_ingested(tmp_path):
    folder = lab_folder(tmp_path / "lab")
    for mask in folder.glob("*[LR].nii.gz"):
        mask.unlink()
    masks = {name: mask for name, mask in drawn().items() if name != "roots"}
    slicer(folder / "Segmentation.seg.nrrd", masks, layers=False)
    (case,) = ingest(plan(folder, tmp_path / "raw"), tmp_path / "raw")
    assert case.report.present["individuals"] == ["L3_D_L", "L3_D_R"]
    require_came_in(tmp_path / "raw", masks)


def shifted(path):
    affine = scan().affine.copy()
    affine[0, 3] += 0.3
    return slicer(path, {"L3_D_L": drawn()["L3_D_L"]}, layers=False, affine=affine)


def unnamed(path):
    return slicer(path, {"Segment_1": drawn()["L3_D_L"]}, layers=False)


def twice(path):
    both = {"L3_D_L": drawn()["L3_D_L"], "L3_D_L ": drawn()["L3_D_L"]}
    return slicer(path, both, layers=True)


def torn(path):
    slicer(path, drawn(), layers=True)
    path.write_bytes(path.read_bytes()[:-40])
    return path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shifted, "the grid of"),
        (unnamed, "a segment 'Segment_1'"),
        (twice, "twice"),
        (torn, "truncated one"),
    ],
)
def test_a_segmentation_that_cannot_be_used_changes_nothing(spoil, message, raw, tmp_path):
    before = snapshot(raw)
    path = spoil(tmp_path / "Segmentation.seg.nrrd")
    with pytest.raises(InputError, match=message):
        replace_masks("sub-001", path, raw)
    assert snapshot(raw) == before


def dicom_segmentation(path, series, masks):
    """The masks as DICOM-SEG with highdicom, referring to the series' own instances."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes

    slices = [pydicom.dcmread(file) for file in series.glob("*.dcm")]
    slices.sort(key=lambda one: one.InstanceNumber)
    for one in slices:
        one.FrameOfReferenceUID, one.StudyID, one.StudyDate = "1.2.9", "", ""
        one.StudyTime, one.AccessionNumber, one.PatientSex = "", "", "F"
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.SpinalCord,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(masks, 1)
    ]
    frames = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], -1).astype(np.uint8)
    hd.seg.Segmentation(
        source_images=slices,
        pixel_array=frames,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="lab",
        manufacturer_model_name="lab",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    ).save_as(path)
    return path


def test_dicom_segmentations_come_back_on_the_series_that_they_refer_to(tmp_path, small_scan):
    volume = small_scan.with_data(np.round(small_scan.data))
    series, raw = write_dicom(tmp_path / "series", volume), tmp_path / "raw"
    ingest(plan(series, raw), raw)
    left, right = np.zeros((2, *volume.data.shape), bool)
    left[2:4, 5, 2:5], right[6, 5, 3:6] = True, True
    seg = dicom_segmentation(tmp_path / "back.dcm", series, {"L3_D_L": left, "L3_D_R": right})
    _, _, rows = replace_masks("sub-001", seg, raw)
    after = stored(raw, Scheme.INDIVIDUALS)
    native = read_image(Dataset(raw).image("sub-001"))
    assert np.array_equal(native.data, read_series(series).data)
    assert np.array_equal(after == LEFT, left)
    assert np.array_equal(after == RIGHT, right)
    assert {row.label for row in rows} == {"L3_D_L", "L3_D_R"}


def test_every_root_is_compared_with_what_was_there(raw, tmp_path):
    masks = {name: mask for name, mask in drawn().items() if name != "roots"}
    path = slicer(tmp_path / "s.seg.nrrd", masks, layers=False)
    _, _, rows = replace_masks("sub-001", path, raw)
    left, right = ({row.label: row for row in rows}[name] for name in ("L3_D_L", "L3_D_R"))
    voxel = 0.7 * 0.8 * 1.9
    assert left.before_mm3 == pytest.approx(8 * voxel, abs=1e-3)
    assert left.added_mm3 == pytest.approx(2 * voxel, abs=1e-3)
    assert left.removed_mm3 == 0
    assert left.dice == pytest.approx(2 * 8 / (8 + 10), abs=1e-4)
    assert right.after_mm3 == pytest.approx(6 * voxel, abs=1e-3)
    assert right.removed_mm3 == pytest.approx(2 * voxel, abs=1e-3)
    assert right.dice == pytest.approx(2 * 6 / (8 + 6), abs=1e-4)


def test_a_mask_as_a_plain_nrrd_file_comes_back(raw, tmp_path):
    mask = drawn()["L3_D_L"]
    image = sitk.GetImageFromArray(mask.astype(np.uint8).transpose(2, 1, 0))
    lps = np.diag([-1, -1, 1, 1]) @ scan().affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    for name in ("L3_D_L.nrrd", "L3_D_L.mha"):
        (tmp_path / name[-3:]).mkdir()
        sitk.WriteImage(image, str(tmp_path / name[-3:] / name))
        replace_masks("sub-001", tmp_path / name[-3:], raw)
        assert np.array_equal(stored(raw, Scheme.INDIVIDUALS) == LEFT, mask)
