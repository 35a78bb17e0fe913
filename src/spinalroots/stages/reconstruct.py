"""Stage `reconstruct`: surfaces, trajectories and measurements of the best model's test cases."""

from pathlib import Path

from tqdm import tqdm

from spinalroots import reconstruct
from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json, write_text
from spinalroots.imaging.volume import read_labels
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme


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
        jobs = [(folder, case, staging, params) for case in chosen]
        empty = list(filter(None, each(_reconstruct, jobs, params.workers, "reconstruct")))
        if empty:
            text = f"{knobs.model} found no root in: {', '.join(empty)}\n"
            write_text(staging / "without_roots.txt", text)
            tqdm.write(text)


def _reconstruct(folder: Dataset, case: str, staging: Path, params: Params) -> str | None:
    """Write the case's folder; the case's name where there is nothing to reconstruct."""
    individuals = read_labels(folder.labels(case, Scheme.INDIVIDUALS))
    if not individuals.data.any():
        return case
    knobs = params.reconstruct
    reconstruct.case(
        individuals,
        staging / case,
        smoothing_mm=knobs.smoothing_mm,
        spacing_mm=knobs.spacing_mm,
        gap_mm=knobs.gap_mm,
    )
    return None
