"""Stage `centreline`: every scan's from the image alone, every prepared case's from its tissues.

Where the cord ends is found once, in the whole scan; its refined copy and the variants of that one
are told.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.augment.dataset import carried
from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json, write_table
from spinalroots.imaging import slices, slices_figure
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.centreline_image import find
from spinalroots.imaging.centreline_mask import from_masks, shows_the_sac
from spinalroots.imaging.conus import Conus, find_conus
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme


def main(params: Params) -> None:
    """Write a centreline for every case, and how far the image-only ones are from the truth."""
    raw = selected_cases(params.data, paths.RAW)
    folders = (Dataset(paths.REFINED), Dataset(paths.AUGMENTED))
    prepared = [(data, case) for data in folders for case in data.cases_if_any()]
    with folder_in_one_piece(paths.CENTRELINES) as staging:
        scans = staging / paths.SCAN_CENTRELINES.name
        jobs = [(one.dataset, one.name, params, scans) for one in raw]
        each(_write_scan, jobs, params.workers, "centreline")
        made = [(data, case, params, staging, scans) for data, case in prepared]
        each(_write_prepared, made, params.workers, "centreline")
    rows = [_compare(found.name) for found in raw]
    table = pd.DataFrame(rows, columns=["case", "source", "mean_mm", "max_mm", "conus_low_mm"])
    write_table(paths.TABLE_CENTRELINE, table, "%.3f")
    _draw(*prepared[0], params)


def _write_scan(data: Dataset, case: str, params: Params, folder: Path) -> None:
    scan = read_image(data.image(case))
    line = find(scan, params.centreline)
    tip = find_conus(scan, line, Conus())
    replace(line, conus_mm=tip).write(folder / f"{case}.json")


def _write_prepared(data: Dataset, case: str, params: Params, folder: Path, scans: Path) -> None:
    scan, line = read_image(data.image(case)), None
    if data.has(case, Scheme.TISSUES):
        tissues = read_labels(data.labels(case, Scheme.TISSUES))
        if shows_the_sac(tissues):
            known = data.has(case, Scheme.ENTITY)
            roots = read_labels(data.labels(case, Scheme.ENTITY)).data if known else None
            stiffness_mm = params.centreline.stiffness_mm
            line = from_masks(tissues, roots=roots, stiffness_mm=stiffness_mm)
    line = line or find(scan, params.centreline)
    record = read_json(data.sidecar(case)) if data.root == paths.AUGMENTED else None
    tip = Centreline.read(scans / f"{record['parent'] if record else case}.json").conus_mm
    if record and tip is not None:
        tip = line.at_slice(carried(record, tip, scan.grid), scan.grid)
    replace(line, conus_mm=tip).write(folder / f"{case}.json")


def _compare(case: str) -> tuple[str, str, float, float, float]:
    """How far the line found in the image is from the true one, where there is a truth, and how far
    below the true conus the one found lies."""
    found = Centreline.read(paths.SCAN_CENTRELINES / f"{case}.json")
    path = paths.TRUTH_CENTRELINES / f"{case}.json"
    if not path.is_file():
        return case, found.source, np.nan, np.nan, np.nan
    truth = Centreline.read(path).points_mm
    distance = np.linalg.norm(found.at_height(truth[:, 2]) - truth, axis=1)
    low_mm = np.nan
    subject = paths.TRUTH_SUBJECTS / f"{case}.json"
    if subject.is_file() and found.conus_mm is not None:
        low_mm = read_json(subject)["conus_ras_mm"][2] - found.conus_mm[2]
    return case, found.source, distance.mean(), distance.max(), low_mm


def _draw(data: Dataset, case: str, params: Params) -> None:
    """The picture of what the slices are."""
    scan = read_image(data.image(case))
    line = Centreline.read(paths.CENTRELINES / f"{case}.json")
    squares = slices.place(scan.grid, line, params.centreline.figure_mm)
    values = slices.cut(scan.data, squares)
    slices_figure.write(paths.FIGURES / "slices.png", scan, line, squares, values)
