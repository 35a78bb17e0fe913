"""Stage `reconstruct`: surfaces, trajectories and measurements of the best model's test cases.

What is measured on a phantom is held against its true courses, from true masks and from predicted
ones, so that the error of the reconstruction and that of the prediction are told apart.
"""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from spinalroots import reconstruct
from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json, write_table, write_text
from spinalroots.imaging.volume import Volume, read_labels
from spinalroots.pipeline.params import Params
from spinalroots.reconstruct import accuracy
from spinalroots.registry import paths
from spinalroots.registry.anatomy import REFINED_ROOTS, Scheme

TRUE, PREDICTED = "true", "predicted"


def main(params: Params) -> None:
    """Reconstruct the first `reconstruct.cases` test cases; cases without any root are named."""
    knobs = params.reconstruct
    folder = Dataset(paths.POSTPROCESSED / knobs.model)
    cases = read_json(paths.SPLIT)["test"]
    missing = [case for case in cases if not folder.has(case, Scheme.INDIVIDUALS)]
    if missing:
        raise InputError(
            f"reconstruct.model {knobs.model}",
            expected="a model whose predictions of the test cases are postprocessed",
            found=f"no individual map of {missing[0]} in {folder.root}",
            fix="Choose another model, or run `dvc repro postprocess`.",
        )
    chosen = cases[: knobs.cases] if knobs.cases else cases
    with folder_in_one_piece(paths.RECONSTRUCTION) as staging:
        to_do = [(case, staging, params) for case in chosen]
        empty = list(filter(None, each(_reconstruct, to_do, params.workers, "reconstruct")))
        if empty:
            text = f"{knobs.model} found no root in: {', '.join(empty)}\n"
            write_text(staging / "without_roots.txt", text)
            tqdm.write(text)
    known = [case for case in cases if (paths.TRUTH_SUBJECTS / f"{case}.json").is_file()]
    jobs = [(case, masks, params) for case in known for masks in (TRUE, PREDICTED)]
    rows = pd.DataFrame(columns=["case", "masks", *accuracy.COLUMNS])
    compared = [table for table in each(_compare, jobs, params.workers, "truth") if len(table)]
    write_table(paths.TABLE_RECONSTRUCTION, pd.concat(compared) if compared else rows, "%.3f")


def _reconstruct(case: str, staging: Path, params: Params) -> str | None:
    """Write the case's folder; the case's name where there is nothing to reconstruct."""
    individuals, tissues = _predicted(case, params)
    if not individuals.data.any():
        return case
    knobs = params.reconstruct
    reconstruct.case(
        individuals,
        staging / case,
        tissues,
        smoothing_mm=knobs.smoothing_mm,
        spacing_mm=knobs.spacing_mm,
        gap_mm=knobs.gap_mm,
        subject=case,
    )
    return None


def _predicted(case: str, params: Params) -> tuple[Volume, Volume | None]:
    """The case's predicted roots, and its tissues if the model finds them."""
    name = params.reconstruct.model
    tissues = Dataset(paths.PREDICTIONS / name).labels(case, Scheme.TISSUES)
    roots = read_labels(Dataset(paths.POSTPROCESSED / name).labels(case, Scheme.INDIVIDUALS))
    return roots, read_labels(tissues) if tissues.is_file() else None


def _compare(case: str, masks: str, params: Params) -> pd.DataFrame:
    """Rows of a phantom, from its true masks or from the predicted ones."""
    truth = Dataset(paths.TRUTH)
    individuals, tissues = _predicted(case, params)
    true_tissues = read_labels(truth.labels(case, Scheme.TISSUES))
    if masks == TRUE:
        individuals = read_labels(truth.labels(case, Scheme.INDIVIDUALS))
    table = accuracy.compare(
        individuals,
        true_tissues if masks == TRUE or tissues is None else tissues,
        accuracy.true_roots(read_json(paths.TRUTH_SUBJECTS / f"{case}.json")["roots"]),
        REFINED_ROOTS,
        smoothing_mm=params.reconstruct.smoothing_mm,
        spacing_mm=params.reconstruct.spacing_mm,
        gap_mm=params.reconstruct.gap_mm,
    )
    table.insert(0, "case", case)
    table.insert(1, "masks", masks)
    return table
