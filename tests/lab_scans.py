"""Scans and masks as labs keep them, made in place for the tests of ingest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import Grid, Volume, write_volume
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels

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
        writer.SetFileName(str(folder / f"{series}-{(index * 7) % 9973:04d}.dcm"))
        writer.Execute(image)
    return folder
