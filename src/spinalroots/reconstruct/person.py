"""A person's own individual map, known as one before it is measured."""

from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.dataset.layout import LABEL_SUFFIX
from spinalroots.errors import InputError
from spinalroots.files import files_together, sha256
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid
from spinalroots.reconstruct.whole import case
from spinalroots.registry.anatomy import LEVELS, Root, Scheme, label_names

_ENDING = f"_{LABEL_SUFFIX[Scheme.INDIVIDUALS]}"
NAMES = set(label_names(Scheme.INDIVIDUALS).values())


def map_file(
    path: Path, folder: Path, tissues_path: Path | None = None, *, volume_mesh: bool = False
) -> pd.DataFrame:
    """Reconstruct an individual map into a person's folder, whose other files all stay.

    :param tissues_path: tissue map on the same grid; by default the one that a prediction has left
        beside `path`, if there is one.
    :param volume_mesh: whether to write tetrahedra too.
    :returns: the measurements, a row per root.
    :raises InputError: `path` is no individual map, or the tissue map lies on another grid or is
        none; a file of the result is in `folder` already, made of another map or changed since.
    """
    path = Path(path)
    individuals = read_individuals(path)
    beside = path.with_name(
        path.name.replace(LABEL_SUFFIX[Scheme.INDIVIDUALS], LABEL_SUFFIX[Scheme.TISSUES])
    )
    if tissues_path is None and beside != path and beside.is_file():
        tissues_path = beside
    tissues = None
    if tissues_path is not None:
        tissues = read_labels(tissues_path, set(label_names(Scheme.TISSUES)))
        require_same_grid(tissues_path, tissues, path, individuals)
    subject = path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(_ENDING)
    with files_together(folder, of=f"reconstruct {path.name} {sha256(path)}") as staging:
        return case(individuals, staging, tissues, subject=subject, volume_mesh=volume_mesh)


def read_individuals(path: Path) -> Volume:
    """Read a map of values 1..120 that is an individual map and not one that looks like it.

    A level map, or the mask of all roots, has legal values too. A map is taken at its word if its
    name has the word `individuals` or the look-up table beside it lists roots; otherwise its values
    must fit: roots that face each other lie on their own sides.

    :raises InputError: values of no root, or a map of something else.
    """
    path = Path(path)
    volume = read_labels(path, set(label_names(Scheme.INDIVIDUALS)))
    listed = _listed(path)
    if listed & NAMES or (not listed and "individuals" in path.name.lower()):
        return volume
    values = np.unique(volume.data[volume.data > 0]).tolist()
    if not values or (not listed and _sides_fit(volume, values)):
        return volume
    if values == [1]:
        found = "a mask of one value"
    elif listed & set(LEVELS):
        found = "a level map, says the table beside it"
    else:
        found = f"values {values[0]} to {values[-1]} that do not keep to a side, as of a level map"
    raise InputError(
        path,
        expected="an individual map, a value per root (level, type and side)",
        found=found,
        fix="Give the map that `spinalroots predict` calls ..._label-individuals_dseg.nii.gz. If "
        "the file is one, put the word individuals into its name.",
    )


def _listed(path: Path) -> set[str]:
    """Names in the BIDS look-up table beside the map; none without one."""
    table = path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.nii')}.tsv")
    if not table.is_file():
        return set()
    return set(table.read_text(encoding="utf-8", errors="replace").split())


def _sides_fit(volume: Volume, values: list[int]) -> bool:
    """Whether most of each left root lies left of its right one; without pairs, whether no level
    has such a value."""
    roots = [Root.from_value(value) for value in values]
    pairs = [(root.value, root.mirrored.value) for root in roots if root.side == "L"]
    pairs = [(left, right) for left, right in pairs if right in values]
    if not pairs:
        return values[-1] > len(LEVELS)
    right_mm = np.indices(volume.data.shape).T @ volume.affine[0, :3]
    labels = volume.data.T
    return all(
        np.quantile(right_mm[labels == left], 0.75) < np.quantile(right_mm[labels == right], 0.25)
        for left, right in pairs
    )
