"""Stage `predict_nnunet@ROW`: scans of the test cases → data/predictions/nnunet-ROW."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, write_probability, write_volume
from spinalroots.models import MODELS
from spinalroots.params import Params

SPLIT, CENTRELINES = Path("data/split.json"), Path("data/centreline/raw")


def main(params: Params, row: str) -> None:
    """Segment the test cases with one row's model, each on its scan's own grid."""
    from spinalroots.nnunet.predictor import NnunetPredictor
    from spinalroots.nnunet.training import choose_device

    model = MODELS[f"nnunet-{row}"]
    device = str(choose_device(params.nnunet.training.device))
    folder = Path("models") / model.name
    predictor = NnunetPredictor.load(folder, device, params.nnunet.inference)
    sources = {case.name: case.dataset for case in selected_cases(params)}
    with folder_in_one_piece(Path("data/predictions") / model.name) as root:
        written = Dataset(root)
        for case in tqdm(read_json(SPLIT)["test"], desc=row, unit="scan"):
            scan = read_image(sources[case].image(case))
            prediction = predictor.predict(scan, _centreline(case))
            path = written.labels(case, model.scheme)
            write_volume(path, prediction.labels, native=scan.native)
            write_probability(
                path.with_name(f"{case}_desc-foreground_probseg.nii.gz"),
                prediction.foreground,
                native=scan.native,
            )
        written.write_description(model.name)


def _centreline(case: str) -> Centreline:
    path = CENTRELINES / f"{case}.json"
    if not path.is_file():
        raise InputError(
            path,
            expected="the centreline found in the scan",
            found="no such file",
            fix="Run the stage `centreline` first.",
        )
    return Centreline.read(path)
