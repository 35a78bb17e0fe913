"""Stage `predict_nnunet@ROW`: scans of the test cases → data/predictions/nnunet-ROW."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from spinalroots.compute.device import choose_device
from spinalroots.dataset.layout import FOREGROUND, UNTRAINED, Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, write_probability, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.registry.models import MODELS

if TYPE_CHECKING:
    from spinalroots.nnunet.predictor import NnunetPredictor

SPLIT, CENTRELINES = Path("data/split.json"), Path("data/centreline/raw")


def main(params: Params, row: str) -> None:
    """Segment the test cases with one row's model, each on its scan's own grid."""
    from spinalroots.nnunet.predictor import NnunetPredictor

    model = MODELS[f"nnunet-{row}"]
    device = choose_device(params.nnunet.training.device, "nnunet.training.device")
    folder = Path("models") / model.name
    predictor = NnunetPredictor.load(folder, device, params.inference.nnunet)
    sources = {case.name: case.dataset for case in selected_cases(params)}
    cases = read_json(SPLIT)["test"]
    with folder_in_one_piece(Path("data/predictions") / model.name) as root:
        written = Dataset(root)
        for case in tqdm(cases, desc=row, unit="scan"):
            scan = read_image(sources[case].image(case))
            prediction = predictor.predict(scan, _centreline(case))
            write_volume(written.labels(case, model.scheme), prediction.labels, native=scan.native)
            write_probability(
                written.map(case, FOREGROUND), prediction.foreground, native=scan.native
            )
        _predict_untrained(predictor.untrained(params.seed), cases[0], sources[cases[0]], written)
        written.write_description(model.name)


def _predict_untrained(
    predictor: NnunetPredictor, case: str, source: Dataset, written: Dataset
) -> None:
    """What the network says of one case before it has learnt anything, beside the prediction."""
    scan = read_image(source.image(case))
    labels = predictor.predict(scan, _centreline(case)).labels
    write_volume(written.map(case, UNTRAINED), labels, native=scan.native)


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
