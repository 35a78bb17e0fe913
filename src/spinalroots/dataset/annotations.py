"""A case's masks as they were annotated: by one person, or by several raters.

A rater's maps lie beside the case's own, told apart by BIDS' `desc`:
`sub-001_label-roots_desc-raterA_mask.nii.gz`. A map without a rater is the agreed one and wins over
the raters' maps of that scheme.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import Volume, read_labels, require_same_grid
from spinalroots.registry.anatomy import Scheme, label_names

_DESCRIPTION = re.compile(r"_desc-rater([0-9A-Za-z]+)_")


def rater_path(dataset: Dataset, case: str, scheme: Scheme | str, rater: str) -> Path:
    """Where a rater's map of a scheme lies (it may not exist).

    >>> rater_path(Dataset(Path("raw")), "sub-001", "levels", "A").name
    'sub-001_label-levels_desc-raterA_dseg.nii.gz'
    """
    agreed = dataset.labels(case, scheme)
    stem, kind = agreed.name.rsplit("_", 1)
    return agreed.with_name(f"{stem}_desc-rater{rater}_{kind}")


def raters(dataset: Dataset, case: str, scheme: Scheme | str) -> dict[str, Path]:
    """Rater → map of a scheme, sorted by rater; empty where there is one annotation only."""
    anyone = rater_path(dataset, case, scheme, "*")
    found = {
        described[1]: path
        for path in anyone.parent.glob(anyone.name)
        if (described := _DESCRIPTION.search(path.name))
    }
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Map:
    """One label map on disk; `rater` is empty for the agreed map."""

    scheme: Scheme
    path: Path
    rater: str = ""


def maps(dataset: Dataset, case: str) -> list[Map]:
    """Every label map of the case, schemes in the registry's order, raters sorted."""
    found = []
    for scheme in Scheme:
        if dataset.has(case, scheme):
            found.append(Map(scheme, dataset.labels(case, scheme)))
        for rater, path in raters(dataset, case, scheme).items():
            found.append(Map(scheme, path, rater))
    return found


def read_map(dataset: Dataset, case: str, entry: Map, scan: Volume | None = None) -> Volume:
    """Read a map as uint8 in RAS+ and hold it against the registry's values, and the scan's grid.

    :raises InputError: as :func:`read_labels`; another grid than the scan's, if that is given.
    """
    volume = read_labels(entry.path, set(label_names(entry.scheme)))
    if scan is not None:
        require_same_grid(entry.path, volume, dataset.image(case), scan)
    return volume
