"""The page of one test case: a viewer of its scan, its roots as they are and as they were found."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spinalroots import __version__
from spinalroots.imaging.boxes import bounding_box
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import (
    LEVELS,
    Scheme,
    individuals_to_levels,
    label_names,
    level_value,
)
from spinalroots.report import page, solids
from spinalroots.viewer import content
from spinalroots.viewer import page as viewer_page

TRUTH, FOUND = "truth", "prediction"
MARGIN_MM = 12.0
"""What is shown of the scan around the labels."""


@dataclass(frozen=True)
class CaseView:
    """What a page shows of a case, all volumes on one RAS+ grid.

    `maps`: label maps of a `scheme` by key (`truth`, `prediction`), `tissues`: tissue maps by the
    same keys, where there are any. `warnings`: records of :mod:`spinalroots.quality.plausibility`.
    `picture`: data URI of a 3D picture to print.
    """

    name: str
    model: str
    scan: Volume
    maps: dict[str, Volume]
    scheme: Scheme
    values: Sequence[int]
    tissues: dict[str, Volume] = field(default_factory=dict)
    warnings: Sequence[dict] = ()
    facts: Sequence[tuple[str, str]] = ()
    picture: str = ""


def render(view: CaseView, smoothing_mm: float, before: str | None, after: str | None) -> str:
    """HTML of the case's page; it stands below the index and beside the pages of other cases.

    :param smoothing_mm: blur of the surfaces. :param before, after: names of the neighbours.
    """
    return page.template("case.html.j2").render(
        view=view,
        before=before,
        after=after,
        version=__version__,
        style=viewer_page.style(),
        scripts=viewer_page.scripts(),
        data=viewer_page.data("case", shown(view, smoothing_mm)),
    )


def shown(view: CaseView, smoothing_mm: float) -> dict:
    """What the viewer is given: the scan cropped to what has labels, maps, surfaces, warnings."""
    marked = np.logical_or.reduce([labels.data > 0 for labels in view.maps.values()])
    margin_vox = np.ceil(MARGIN_MM / view.scan.spacing_mm).astype(int)
    box = bounding_box(marked, margin_vox) or tuple(slice(0, size) for size in marked.shape)
    maps = {key: labels.crop(box) for key, labels in view.maps.items()}
    tissues = {key: labels.crop(box) for key, labels in view.tissues.items()}
    titles = {TRUTH: "Truth", FOUND: "Prediction"}
    return {
        "scan": content.inlined(view.scan.crop(box)),
        "maps": [
            {"key": key, "title": titles[key], **content.inlined(labels)}
            for key, labels in maps.items()
        ],
        "labels": content.labels(view.scheme, view.values),
        "surfaces": [
            *solids.of_roots(maps, view.scheme, smoothing_mm),
            *solids.of_tissues(tissues, smoothing_mm),
        ],
        "remarks": [_remark(warning, maps, view.scheme) for warning in view.warnings],
    }


def _remark(warning: dict, maps: dict[str, Volume], scheme: Scheme) -> dict:
    """A warning with its place in RAS+ mm: the middle of the root or level that it is about."""
    return {
        "text": warning["message"],
        "map": FOUND if FOUND in maps else None,
        "place": place_of(warning["label"], maps, scheme),
    }


def place_of(label: str, maps: dict[str, Volume], scheme: Scheme) -> list[float] | None:
    """Where to look for a root, a level or the whole scan (any other `label`), in RAS+ mm.

    In the prediction, or in the truth where the prediction has none of it; None if neither has.
    Where a missing level is in neither, the levels next to it tell.
    """
    for labels in (maps[key] for key in (FOUND, TRUTH) if key in maps):
        for mask in _masks(label, labels.data, scheme):
            if mask.any():
                return [round(float(value), 2) for value in labels.grid.to_mm(_middle(mask))]
    return None


def _masks(label: str, labels: np.ndarray, scheme: Scheme) -> list[np.ndarray]:
    """The voxels that a warning is about, the best guess first."""
    names = {name: value for value, name in label_names(scheme).items()}
    masks = [labels == names[label]] if label in names else []
    level = label.split("_")[0]
    if level not in LEVELS:
        return [*masks, labels > 0]
    levels = individuals_to_levels(labels) if scheme is Scheme.INDIVIDUALS else labels
    value = level_value(level)
    beside = [one for one in (value - 1, value + 1) if one > 0]
    return [*masks, levels == value, np.isin(levels, beside)]


def _middle(mask: np.ndarray) -> np.ndarray:
    """The voxel (3,) of a mask that is nearest to its median."""
    voxels = np.argwhere(mask)
    return voxels[np.square(voxels - np.median(voxels, axis=0)).sum(axis=1).argmin()]
