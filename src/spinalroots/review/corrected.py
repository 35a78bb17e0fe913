"""A corrected map as files beside the prediction, ready for `spinalroots ingest --replace`.

A folder of its own, `STEM_corrected-REVIEWER`, holds what is taken in together: the map, its
levels, and the mask of all roots that the labels lie in.
"""

from pathlib import Path

import numpy as np

from spinalroots.dataset import label_tables
from spinalroots.dataset.layout import LABEL_SUFFIX
from spinalroots.files import files_together, write_json
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid, write_volume
from spinalroots.registry.anatomy import Scheme, individuals_to_levels, voxels_by_name
from spinalroots.review.cases import Case


def folder_of(case: Case, reviewer: str) -> Path:
    """Where a reviewer's corrected masks of a case go."""
    return case.beside / f"{case.stem}_corrected-{reviewer}"


def name_of(stem: str, scheme: Scheme) -> str:
    """A corrected map's file name.

    >>> name_of("sub-001", Scheme.LEVELS)
    'sub-001_label-levels_desc-corrected_dseg.nii.gz'
    """
    what, kind = LABEL_SUFFIX[scheme].rsplit("_", 1)
    return f"{stem}_{what}_desc-corrected_{kind}.nii.gz"


def write(
    case: Case, reviewer: str, version: str, before: Volume, labels: np.ndarray, steps: int
) -> Path:
    """Write the corrected masks, all of them or none, and say what they are in a JSON.

    What an earlier saving wrote is replaced, unless somebody has changed it since.

    :param version: of the prediction that was corrected.
    :param before: the prediction as it is, RAS+; `labels` (X, Y, Z) uint8: as it should be.
    :param steps: how many corrections that took.
    :return: the folder.
    :raises InputError: a file in the way: changed since, or of another version of the prediction.
    """
    folder = folder_of(case, reviewer)
    maps = {case.scheme: labels}
    if case.scheme is Scheme.INDIVIDUALS:
        maps[Scheme.LEVELS] = individuals_to_levels(labels)
    maps[Scheme.ENTITY] = _all_roots(case, before, labels)
    made_of = f"review {case.mask.name} {version} {reviewer}"
    with files_together(folder, of=made_of) as staging:
        for scheme, data in maps.items():
            path = staging / name_of(case.stem, scheme)
            write_volume(path, before.with_data(data), native=before.native)
            if scheme is not Scheme.ENTITY:
                label_tables.write_all(path.with_name(path.name.removesuffix(".nii.gz")), scheme)
        record = {
            "corrected": case.mask.name,
            "prediction": version,
            "model": case.model,
            "reviewer": reviewer,
            "steps": steps,
            "voxels_changed": int(np.count_nonzero(before.data != labels)),
            "voxels": voxels_by_name(labels, case.scheme),
        }
        write_json(staging / f"{case.stem}_corrected.json", record)
    return folder


def _all_roots(case: Case, before: Volume, labels: np.ndarray) -> np.ndarray:
    """Every root in sight (uint8), named or not, and the corrections: painted is root, erased is
    none."""
    roots = (before.data > 0).astype(np.uint8)
    if case.all_roots.is_file():
        seen = read_labels(case.all_roots)
        require_same_grid(case.all_roots, seen, case.mask, before)
        roots |= (seen.data > 0).astype(np.uint8)
    roots[labels > 0] = 1
    roots[(before.data > 0) & (labels == 0)] = 0
    return roots
