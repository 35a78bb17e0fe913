"""A small scan as every kind of file, and a model that finds roots in it without a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from lab_scans import write_dicom
from pydicom.uid import ExplicitVRLittleEndian

from spinalroots.imaging.volume import Volume, read_image, to_native
from spinalroots.inference.predictor import Prediction
from spinalroots.predict.load import Model
from spinalroots.predict.package import Settings
from spinalroots.registry.anatomy import ROOT_TISSUE, Target

SHAPE = (30, 32, 40)
TARGET = Target.of("levels", "sacral")
LEFT, RIGHT = slice(10, 12), slice(18, 20)
GREY = 2000


def affine(degrees: float = 7.0) -> np.ndarray:
    """Voxels of 1.2 × 1.2 × 1.5 mm, turned about the patient's left-right axis."""
    angle = np.deg2rad(degrees)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    found = np.eye(4)
    found[:3, :3] = turn * [1.2, 1.2, 1.5]
    found[:3, 3] = [-18.5, 31.25, -80.125]
    return found


def tube(seed: int = 0, degrees: float = 7.0) -> Volume:
    """A bright sac with a very bright thread on either side, the right one shorter; whole greys."""
    right, front = (np.arange(size) * 1.2 for size in SHAPE[:2])
    distance = np.hypot(right[:, None] - 18, front[None] - 19)
    plane = 100 + 900 * (distance < 8.5)
    noise = np.random.default_rng(seed).normal(0, 20, SHAPE)
    data = np.repeat(plane[:, :, None], SHAPE[2], axis=2) + noise
    data[LEFT, 12:14, 8:30] = GREY
    data[RIGHT, 12:14, 8:22] = GREY
    return Volume(np.round(np.maximum(data, 0)).astype(np.float32), affine(degrees))


class ByBrightness:
    """S1 is what is brighter than everything, CSF what is bright; certain of all of it."""

    target = TARGET
    name = "stub"

    def predict(self, scan, centreline, runner=None):
        grey = (scan.data - scan.data.min()) / (scan.data.max() - scan.data.min())
        roots, sac = grey > 0.75, grey > 0.3
        tissues = np.where(roots, ROOT_TISSUE, np.where(sac, 2, 0)).astype(np.uint8)
        labels = np.where(roots, TARGET.values[0], 0).astype(np.uint8)
        chance = roots.astype(np.float32)
        labels, chance, tissues = (scan.with_data(one) for one in (labels, chance, tissues))
        return Prediction(labels, chance, tissues=tissues)


def stub_model(params) -> Model:
    settings = Settings(
        centreline=params.centreline,
        inference=params.inference.hardnet,
        postprocess=params.postprocess,
    )
    return Model("stub", ByBrightness(), settings, "0" * 64, None)


def nifti(path: Path, volume: Volume, dtype=np.int16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(volume.data.astype(dtype), volume.affine), path)
    return path


def itk_image(volume: Volume) -> sitk.Image:
    lps = np.diag([-1.0, -1, 1, 1]) @ volume.affine
    image = sitk.GetImageFromArray(volume.data.T.astype(np.int16))
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def itk(path: Path, volume: Volume) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(itk_image(volume), str(path))
    return path


def dicom(folder: Path, volume: Volume, edit=None, *, series="1.2.3.4", seed_uid=1) -> Path:
    """A file a slice; `edit(dataset, number)` changes one."""
    write_dicom(folder, volume, series, seed_uid=seed_uid)
    for path in sorted(folder.glob(f"{series}-*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        dataset.FrameOfReferenceUID = "1.2.3.99"
        if edit is not None:
            edit(dataset, int(dataset.InstanceNumber) - 1)
        dataset.save_as(path)
    return folder


def enhanced(path: Path, volume: Volume, *, echoes=(80.0,), slope: float = 1.0) -> Path:
    """One multi-frame file, its frames stored from the last slice to the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1, 1, 1]) @ volume.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    axes = (lps[:3, :3] / spacing).T
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.EnhancedMRImageStorage, "1.2.3.77.1"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.77"
    data.FrameOfReferenceUID, data.Modality, data.SeriesNumber = "1.2.3.99", "MR", 7
    data.PatientID, data.PatientName, data.InstanceNumber = "4711", "Doe^Jane", 1
    columns, rows, count = volume.data.shape
    data.Rows, data.Columns, data.NumberOfFrames = rows, columns, count * len(echoes)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    shared, frames, planes = pydicom.Dataset(), [], []
    shared.PlaneOrientationSequence = [pydicom.Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [*map(float, axes[:2].ravel())]
    shared.PixelMeasuresSequence = [pydicom.Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [float(spacing[1]), float(spacing[0])]
    shared.PixelMeasuresSequence[0].SliceThickness = float(spacing[2])
    for echo in echoes:
        for index in reversed(range(count)):
            frame = pydicom.Dataset()
            frame.PlanePositionSequence = [pydicom.Dataset()]
            place = (lps @ [0, 0, index, 1])[:3]
            frame.PlanePositionSequence[0].ImagePositionPatient = [*map(float, place)]
            frame.MREchoSequence = [pydicom.Dataset()]
            frame.MREchoSequence[0].EffectiveEchoTime = echo
            frame.PixelValueTransformationSequence = [pydicom.Dataset()]
            scale = frame.PixelValueTransformationSequence[0]
            scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = slope, 0, "US"
            frames.append(frame)
            planes.append(np.round(volume.data[:, :, index].T / slope).astype("<u2"))
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = frames
    data.PixelData = np.stack(planes).tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    return path


def mask_mm(path: Path) -> np.ndarray:
    """World positions (N, 3) of a mask's voxels with their values, sorted, to a micrometre."""
    volume = read_image(path)
    voxels = np.argwhere(volume.data > 0)
    found = np.column_stack([volume.grid.to_mm(voxels), volume.data[tuple(voxels.T)]])
    return np.array(sorted(map(tuple, np.round(found, 3) + 0.0)))


def same_place(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.allclose(first, second, atol=2e-3))


def moved(volume: Volume, **more) -> Volume:
    return replace(volume, **more)


def stored(volume: Volume) -> np.ndarray:
    return to_native(volume)
