"""A case as labs keep it: an image, and one binary mask per root, level and tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinalroots.dataset.annotations import maps, read_map
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import files_together
from spinalroots.imaging.volume import read_image, write_volume
from spinalroots.registry.anatomy import label_names


def export_case(dataset: Dataset, case: str, folder: Path) -> Path:
    """Write `folder`/image.nii.gz, L3_D_L.nii.gz, L3.nii.gz, roots.nii.gz, CSF.nii.gz, …

    Everything lies on the scan's own grid; several raters get a sub-folder each. `spinalroots
    ingest` reads the folder back voxel for voxel.

    :returns: the folder.
    :raises InputError: the case has no scan, or `folder` is there already.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(
            folder, expected="a new folder", found="one that exists", fix="Choose another."
        )
    scan = read_image(dataset.image(case))
    with files_together(folder, of=None) as staging:
        write_volume(staging / "image.nii.gz", scan, native=scan.native)
        for entry in maps(dataset, case):
            labels = read_map(dataset, case, entry, scan).data
            target = staging / f"rater-{entry.rater}" if entry.rater else staging
            for value in np.unique(labels[labels > 0]).tolist():
                mask = scan.with_data((labels == value).astype(np.uint8))
                name = label_names(entry.scheme)[value]
                write_volume(target / f"{name}.nii.gz", mask, native=scan.native)
    return folder
