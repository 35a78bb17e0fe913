"""Phantoms on disk: the lab's data set, and apart from it the truth."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import ANATOMY_MAP, Dataset
from spinalroots.files import folder_in_one_piece, write_json
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.phantom.annotator import Annotation, annotate, draw_plan
from spinalroots.phantom.case import Case, generate
from spinalroots.phantom.variety import TEXTBOOK
from spinalroots.registry.anatomy import LEVELS, REFINED_LEVELS, Scheme
from spinalroots.settings.phantom import Phantom


def case_name(index: int) -> str:
    """Name of the `index`-th phantom, counted from 0.

    >>> case_name(0)
    'sub-ph001'
    """
    return f"sub-ph{index + 1:03d}"


def annotated_case(params: Phantom, seed: int, index: int) -> tuple[Case, Annotation]:
    """A phantom and what the annotator made of it."""
    case = generate(params, seed, index)
    plan_stream, mistake_stream = np.random.default_rng([seed, index, 1]).spawn(2)
    plan = draw_plan(case, index, plan_stream)
    return case, annotate(case, plan, params.annotator, mistake_stream)


def write_dataset(
    raw_root: Path, truth_root: Path, params: Phantom, seed: int, workers: int = 1
) -> None:
    """Write `params.cases` phantoms: scans and annotation to `raw_root`, truth to `truth_root`.

    Both folders appear whole or not at all; the bytes do not depend on `workers`.
    """
    with folder_in_one_piece(raw_root) as raw, folder_in_one_piece(truth_root) as truth:
        jobs = [(raw, truth, params, seed, index) for index in range(params.cases)]
        rows = each(_write_case, jobs, workers, "phantom")
        table = pd.DataFrame(rows).set_index("participant_id")
        Dataset(raw).write_description("spinalroots phantoms", table)
        Dataset(truth).write_description("spinalroots phantoms: the truth", table)


def _write_case(raw: Path, truth: Path, params: Phantom, seed: int, index: int) -> dict:
    case, annotation = annotated_case(params, seed, index)
    name = case_name(index)
    lab, hidden = Dataset(raw), Dataset(truth)

    def write(path: Path, data: np.ndarray) -> None:
        write_volume(path, Volume(data, case.affine), native=case.native)

    write(lab.image(name), case.image)
    write(lab.labels(name, Scheme.ENTITY), annotation.entity)
    write(lab.labels(name, Scheme.LEVELS), annotation.levels)
    write(lab.labels(name, Scheme.TISSUES), annotation.tissues)
    if annotation.individuals is not None:
        write(lab.labels(name, Scheme.INDIVIDUALS), annotation.individuals)
    write(hidden.labels(name, Scheme.ENTITY), case.entity)
    write(hidden.labels(name, Scheme.LEVELS), case.levels)
    write(hidden.labels(name, Scheme.INDIVIDUALS), case.individuals)
    write(hidden.labels(name, Scheme.TISSUES), case.tissues)
    write(hidden.map(name, ANATOMY_MAP), case.anatomy)
    case.centreline.write(Path(truth) / "centreline" / f"{name}.json")
    write_json(lab.sidecar(name), _sidecar(case, annotation, seed, index))
    write_json(Path(truth) / "subjects" / f"{name}.json", _truth(case))
    return _participant(name, case, annotation)


def _participant(name: str, case: Case, annotation: Annotation) -> dict:
    levels = {LEVELS[value - 1] for value in np.unique(annotation.levels) if value}
    return {
        "participant_id": name,
        "source": "phantom",
        "look": "physical" if case.subject.variety == TEXTBOOK else "randomised",
        "annotation": annotation.plan.kind,
        "annotated_levels": ",".join(level for level in REFINED_LEVELS if level in levels),
        "ventral_roots": sum(root.type == "V" for root in annotation.plan.roots),
        "conus_vertebra": case.subject.conus_vertebra,
        "lordosis_deg": round(case.subject.lordosis_deg, 1),
        "voxel_mm": "x".join(f"{edge:.3f}" for edge in case.native.spacing_mm),
        "orientation": case.acquisition.orientation,
    }


def _sidecar(case: Case, annotation: Annotation, seed: int, index: int) -> dict:
    """What a scanner's or a lab's record would hold, and how to make the case again."""
    axis = "xyz"[case.acquisition.slice_axis]
    return {
        "Modality": "MR",
        "Synthetic": True,
        "SliceAxisRAS": axis,
        "VoxelSizeRASMm": list(case.acquisition.spacing_mm),
        "Orientation": case.acquisition.orientation,
        "Seed": [seed, index],
        "Faults": _rounded(asdict(case.faults)),
        "Contrast": _rounded(asdict(case.contrast)),
        "Annotation": annotation.plan.kind,
        "AnnotatedRoots": [str(root) for root in annotation.plan.roots],
    }


def _truth(case: Case) -> dict:
    """The subject's true anatomy, for measuring."""
    subject = case.subject
    return _rounded(
        {
            "size": subject.size,
            "conus_tip_mm": subject.conus_tip_mm,
            "conus_vertebra": subject.conus_vertebra,
            "conus_ras_mm": case.conus_ras_mm.tolist(),
            "discs_ras_mm": {name: place.tolist() for name, place in case.discs_ras_mm.items()},
            "sac_end_mm": subject.sac_end_mm,
            "lordosis_deg": subject.lordosis_deg,
            "variety": asdict(subject.variety),
            "segments_mm": subject.segments_mm,
            "roots": {
                str(course.root): {
                    "diameter_mm": 2 * float(course.radius_mm[0]),
                    "intradural_length_mm": course.intradural_length_mm,
                    "exit_ras_mm": case.curve.to_world(course.trunk[course.inside - 1]).tolist(),
                    "trunk_ras_mm": case.curve.to_world(course.trunk).tolist(),
                    "trunk_points_in_sac": course.inside,
                    "rootlets_ras_mm": [
                        case.curve.to_world(rootlet).tolist() for rootlet in course.rootlets
                    ],
                    "rootlet_diameter_mm": 2 * float(course.rootlet_radius_mm),
                }
                for course in case.courses
            },
        }
    )


def _rounded(value):
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
