"""Files that hold many named segments: 3D Slicer's `.seg.nrrd`, and DICOM-SEG.

Segments may overlap (Slicer then stores layers along a first axis, DICOM frames of their own), and
the box that is stored may be smaller than the scan: both write only where something was drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.itk_files import read_itk, reader_of
from spinalroots.imaging.limits import MAX_VOXELS, require_bytes
from spinalroots.imaging.volume import Volume
from spinalroots.ingest.dicom_stacks import told

if TYPE_CHECKING:
    import SimpleITK as sitk

SEGMENTATION_CLASSES = frozenset(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"))
"""SOP classes of DICOM Segmentation Storage, and of Label Map Segmentation Storage."""
OFF_GRID_VOX = 0.1
"""A segment lies on the scan's voxels when none of its own is further off than this."""
MOST_DRAWN = 2**25
"""Voxels of all segments of a file: each is kept as a point."""

_NRRD_ENDINGS = (".seg.nrrd", ".seg.nhdr", ".nrrd", ".nhdr")
_SEGMENT = re.compile(r"Segment(\d+)_Name")
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def segment_names(path: Path) -> list[str]:
    """Names of the segments in a file, in its order; empty if it is no segmentation.

    :raises InputError: a segmentation that cannot be read.
    """
    path = Path(path)
    if path.name.startswith("._"):
        return []
    if path.name.lower().endswith(_NRRD_ENDINGS):
        try:
            return [name for name, _, _ in _nrrd_entries(path, reader_of(path))]
        except InputError:
            if ".seg." in path.name.lower():
                raise
            return []
    if is_dicom_segmentation(path):
        with told(path):
            return [str(one.SegmentLabel) for one in _dicom(path).SegmentSequence]
    return []


def is_dicom_segmentation(path: Path) -> bool:
    """Whether a file is DICOM-SEG, by its content."""
    with Path(path).open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return False
    import pydicom

    with told(path):
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
        return str(header.get("SOPClassUID", "")) in SEGMENTATION_CLASSES


@dataclass(frozen=True)
class _Drawn:
    """A segment's voxel centres (N, 3) and its steps along its axes (2 or 3, 3), RAS+ mm."""

    points_mm: np.ndarray
    steps_mm: np.ndarray


def read_segment(path: Path, name: str, scan_path: Path, scan: Volume) -> Volume:
    """The segment `name` of a file as a binary mask (X, Y, Z) uint8 on the scan's grid, RAS+.

    :raises InputError: a file that cannot be read, or lies on other voxels than the scan's.
    """
    drawn = _segments(Path(path), Path(path).stat().st_mtime_ns)[name]
    where, grid = f"{path}, segment {name!r}", f"the grid of {scan_path} ({scan.grid})"
    steps = drawn.steps_mm @ np.linalg.inv(scan.affine[:3, :3]).T
    if (np.abs(np.round(steps)).sum(1) != 1).any() or np.abs(steps - np.round(steps)).max() > 0.01:
        sizes = "×".join(f"{size:.4g}" for size in np.linalg.norm(drawn.steps_mm, axis=1))
        raise InputError(
            where,
            expected=grid,
            found=f"voxels of {sizes} mm, or turned ones",
            fix="Export the segmentation with the scan as its reference.",
        )
    voxels = scan.grid.to_voxels(drawn.points_mm)
    nearest = np.round(voxels).astype(int)
    off = np.abs(voxels - nearest).max(initial=0)
    if off > OFF_GRID_VOX:
        raise InputError(
            where,
            expected=grid,
            found=f"voxels that lie between the scan's, by up to {off:.2f} of one",
            fix="Export the segmentation with the scan as its reference.",
        )
    beyond = ((nearest < 0) | (nearest >= scan.data.shape)).any(1)
    if beyond.any():
        raise InputError(
            where,
            expected=f"a mask inside {scan_path} ({scan.grid})",
            found=f"{np.count_nonzero(beyond)} voxels beyond its border",
            fix="Check that it was drawn on this scan.",
        )
    mask = np.zeros(scan.data.shape, np.uint8)
    mask[tuple(nearest.T)] = 1
    return scan.with_data(mask)


@lru_cache(maxsize=1)
def _segments(path: Path, _changed_ns: int) -> dict[str, _Drawn]:
    """Name → what was drawn; kept, as segments are asked for one by one."""
    if path.name.lower().endswith(_NRRD_ENDINGS):
        return _nrrd_segments(path)
    return _dicom_segments(path)


def _nrrd_entries(path: Path, reader: sitk.ImageFileReader) -> list[tuple[str, int, int]]:
    """(name, label value, layer) of each segment, in the order of their numbers."""
    entries = []
    for key in reader.GetMetaDataKeys():
        if match := _SEGMENT.fullmatch(key):
            try:
                number = int(match[1])
                value, layer = (
                    int(reader.GetMetaData(one)) if reader.HasMetaDataKey(one) else default
                    for one, default in (
                        (f"Segment{number}_LabelValue", number + 1),
                        (f"Segment{number}_Layer", 0),
                    )
                )
            except ValueError as error:
                raise _unreadable(path, error) from error
            entries.append((number, reader.GetMetaData(key).strip(), value, layer))
    return [(name, value, layer) for _, name, value, layer in sorted(entries)]


def _nrrd_segments(path: Path) -> dict[str, _Drawn]:
    import SimpleITK as sitk

    image = read_itk(path, vectors=True)
    entries = _nrrd_entries(path, image)
    if image.GetDimension() != 3:
        raise _unreadable(path, ValueError(f"{image.GetDimension()} axes"))
    array = sitk.GetArrayFromImage(image)  # (Z, Y, X), or (Z, Y, X, layers)
    layers = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    steps = (np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())).T
    origin = np.asarray(image.GetOrigin())
    drawn, count = {}, 0
    for name, value, layer in entries:
        if not 0 <= layer < len(layers):
            raise _unreadable(path, ValueError(f"segment {name!r} in layer {layer}"))
        mask = value == layers[layer].T
        count += int(np.count_nonzero(mask))
        _require_few(path, count)
        drawn[name] = _Drawn((np.argwhere(mask) @ steps + origin) * LPS_TO_RAS, steps * LPS_TO_RAS)
    return drawn


def _require_few(path: Path, count: int) -> None:
    if count > MOST_DRAWN:
        raise InputError(
            path,
            expected=f"segments of at most {MOST_DRAWN // 10**6} million voxels in all",
            found=f"{count} and more",
            fix="Give each segment as a NIfTI mask.",
        )


def _dicom(path: Path):
    import highdicom as hd

    try:
        return hd.seg.segread(path)
    except Exception as error:  # pydicom and highdicom raise whatever a damaged file leads to
        raise _unreadable(path, error) from error


def _dicom_segments(path: Path) -> dict[str, _Drawn]:
    """Frame by frame, each at its own position: a file holds only the slices that are drawn on, and
    says nothing reliable about the gap between them."""
    segmentation = _dicom(path)
    try:
        labels = {
            int(one.SegmentNumber): str(one.SegmentLabel) for one in segmentation.SegmentSequence
        }
        size = float(segmentation.Rows) * segmentation.Columns * segmentation.NumberOfFrames
        # A bit a pixel, and it may be compressed.
        require_bytes(path, size / 8, path.stat().st_size, packed=True)
        if size > MAX_VOXELS:
            raise ValueError(f"{size:.0f} pixels")
        count = 0
        frames = segmentation.pixel_array
        frames = frames[None] if frames.ndim == 2 else frames  # one frame only
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        points: dict[int, list[np.ndarray]] = {number: [np.zeros((0, 3))] for number in labels}
        for pixels, own in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
            steps = _frame_steps(own, shared)
            origin = np.array(own.PlanePositionSequence[0].ImagePositionPatient, float)
            if "SegmentIdentificationSequence" in own:
                number = int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
                drawn = {number: pixels > 0}
            else:
                drawn = {value: pixels == value for value in labels if (pixels == value).any()}
            count += sum(int(np.count_nonzero(mask)) for mask in drawn.values())
            _require_few(path, count)
            for value, mask in drawn.items():
                points[value].append((np.argwhere(mask) @ steps + origin) * LPS_TO_RAS)
        return {
            labels[number]: _Drawn(np.concatenate(parts), steps * LPS_TO_RAS)
            for number, parts in points.items()
        }
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _frame_steps(own, shared) -> np.ndarray:
    """From one row to the next, and from one column to the next (2, 3), LPS mm."""
    orientation = (own if "PlaneOrientationSequence" in own else shared).PlaneOrientationSequence[0]
    measures = (own if "PixelMeasuresSequence" in own else shared).PixelMeasuresSequence[0]
    along = np.reshape(np.array(orientation.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, measures.PixelSpacing)
    return np.array([along[1] * between_rows, along[0] * between_columns])


def _unreadable(path: Path, error: Exception) -> InputError:
    last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return InputError(
        path,
        expected="a complete segmentation (.seg.nrrd of 3D Slicer, or DICOM-SEG)",
        found=f"one that cannot be read ({last})",
        fix="Export it again.",
    )
