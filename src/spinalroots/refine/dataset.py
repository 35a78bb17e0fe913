"""Refining a whole data set: one case at a time on disk, and what it gained against a truth."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, write_json
from spinalroots.imaging.boxes import put_back
from spinalroots.imaging.volume import read_image, read_labels, require_same_grid, write_volume
from spinalroots.metrics.overlap import dice_per_label
from spinalroots.refine.annotation import Annotation, read_annotation
from spinalroots.refine.refinement import Refined, refine, selection
from spinalroots.registry.anatomy import Scheme, Target, label_names, voxels_by_name
from spinalroots.settings.dataset import Refine


@dataclass(frozen=True)
class Gain:
    """One case before and after.

    `dice`: label value → (before, after), of the labels that the annotator drew in this case.
    `truth_voxels`: entity voxels that truly belong to a chosen root; `right_before`, `right_after`:
    those of them that carry the right label.
    """

    dice: dict[int, tuple[float, float]] = field(default_factory=dict)
    truth_voxels: int = 0
    right_before: int = 0
    right_after: int = 0


def gain(
    drawn: np.ndarray, refined: np.ndarray, truth: np.ndarray, entity: np.ndarray, target: Target
) -> Gain:
    """Hold an individual map before and after refinement against the truth.

    :param drawn, refined, truth: individual maps (X, Y, Z) on one grid, stored label values.
    :param entity: the annotator's mask of all roots (X, Y, Z).
    """
    drawn_by, refined_by, truth_by = (target.encode(labels) for labels in (drawn, refined, truth))
    present = [index for index in range(1, len(target.values) + 1) if (drawn_by == index).any()]
    before, after = (dice_per_label(truth_by, found, present) for found in (drawn_by, refined_by))
    counted = (truth_by != 0) & (entity != 0)
    right = [
        int(np.count_nonzero(counted & (entry == truth_by))) for entry in (drawn_by, refined_by)
    ]
    return Gain(
        {target.values[index - 1]: (before[index], after[index]) for index in present},
        int(np.count_nonzero(counted)),
        *right,
    )


@dataclass(frozen=True)
class CaseResult:
    """What refinement did to a case; `refined` is False if it has no chosen root.

    `look`: physical or randomised, empty for a scan that is no phantom.
    `drawn`, `kept`: root → voxels before and after. `gain`, and `plain_gain` of the flood fill
    alone, are None without a truth. `shows_unnamed`: see :class:`Annotation`.
    """

    name: str
    source: str
    subject: str
    look: str
    refined: bool
    shows_unnamed: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    agreement: dict[str, dict] = field(default_factory=dict)
    gain: Gain | None = None
    plain_gain: Gain | None = None


def refine_dataset(
    cases: list[SelectedCase], root: Path, truth: Dataset, params: Refine, workers: int = 1
) -> list[CaseResult]:
    """Write the refined data set to `root`, whole or not at all, and say what changed.

    :param truth: labels to measure against; used for nothing else.
    :raises InputError: no case has a chosen root.
    """
    with folder_in_one_piece(root) as staging:
        jobs = [(case, Dataset(staging), truth, params) for case in cases]
        results = each(refine_case, jobs, workers, "refine")
        rows = [
            (found.name, found.source, found.subject, found.look)
            for found in results
            if found.refined
        ]
        if not rows:
            raise InputError(
                root,
                expected="at least one case with a root of the chosen classes",
                found=f"none in {len(cases)} cases",
                fix="Scans without masks can only be predicted. Annotate levels or roots, choose "
                "other refine.levels and refine.types, or train on synthetic cases "
                "(data.phantom_cases).",
            )
        table = pd.DataFrame(rows, columns=["case", "source", "subject", "look"]).set_index("case")
        Dataset(staging).write_description("Refined cases", table)
    return results


def refine_case(case: SelectedCase, target: Dataset, truth: Dataset, params: Refine) -> CaseResult:
    """Refine one case and write its image and maps into `target`.

    The masks are dealt with before the image is read, so that both are never whole in memory.
    """
    table = case.dataset.participants()
    subject = table["subject"].get(case.name) if "subject" in table else None
    look = table["look"].get(case.name, "") if case.synthetic and "look" in table else ""
    identity = (case.name, case.source, str(subject or case.name), str(look))
    annotation = read_annotation(case.dataset, case.name)
    refined = refine(annotation, params) if annotation and annotation.has_roots else None
    if annotation is None or refined is None:
        return CaseResult(*identity, refined=False)
    gains = _gains(case, annotation, refined, truth, params)
    result = CaseResult(
        *identity,
        refined=True,
        shows_unnamed=annotation.shows_unnamed,
        counts=refined.counts,
        drawn=_voxels(annotation.individuals),
        kept=_voxels(refined.individuals),
        agreement={
            scheme: _agreement(entry, scheme) for scheme, entry in annotation.agreement.items()
        },
        gain=gains.get("gain"),
        plain_gain=gains.get("plain_gain"),
    )
    grid = annotation.volume
    del annotation
    _write(case, target, refined, grid, result)
    return result


def _write(case: SelectedCase, target: Dataset, refined: Refined, grid, result: CaseResult) -> None:
    path = case.dataset.image(case.name)
    scan = read_image(path)
    require_same_grid(case.dataset.labels(case.name, Scheme.ENTITY), grid, path, scan)
    native = scan.native or scan.grid
    cropped = scan.crop(refined.box)
    del scan
    write_volume(target.image(case.name), cropped)
    for scheme, labels in refined.maps().items():
        write_volume(target.labels(case.name, scheme), cropped.with_data(labels))
    write_json(
        target.sidecar(case.name),
        {
            "source": case.source,
            "scan_shape": list(native.shape),
            "scan_orientation": native.orientation,
            "box_ras_vox": [[side.start, side.stop] for side in refined.box],
            "counts": result.counts,
            "agreement": result.agreement,
        },
    )


def _gains(
    case: SelectedCase, annotation: Annotation, refined: Refined, truth: Dataset, params: Refine
) -> dict[str, Gain]:
    """The gain of all of refinement, and of the flood fill alone, against the truth."""
    path = truth.labels(case.name, Scheme.INDIVIDUALS)
    drawn = annotation.individuals
    if not case.synthetic or drawn is None or refined.individuals is None or not path.is_file():
        return {}
    hidden = read_labels(path)
    require_same_grid(path, hidden, case.dataset.image(case.name), annotation.volume)
    plain = refine(annotation, params.model_copy(update={"trust_levels": False}))
    gains = {}
    for key, result in (("gain", refined), ("plain_gain", plain)):
        if result is not None and result.individuals is not None:
            after = put_back(result.individuals, result.box, hidden.data.shape)
            gains[key] = gain(drawn, after, hidden.data, annotation.roots(), selection(params))
    return gains


def _voxels(individuals: np.ndarray | None) -> dict[str, int]:
    return {} if individuals is None else voxels_by_name(individuals, Scheme.INDIVIDUALS)


def _agreement(entry, scheme: str) -> dict:
    names = label_names(scheme)
    return {
        "raters": entry.raters,
        "dice": round(entry.dice, 4),
        "dice_by_label": {
            names[value]: round(dice, 4) for value, dice in entry.dice_by_label.items()
        },
        "sensitivity": [round(value, 4) for value in entry.sensitivity],
        "specificity": [round(value, 4) for value in entry.specificity],
    }
