"""A model's answers for the scans of data sets, written as a data set of their own."""

from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from spinalroots.dataset.layout import FOREGROUND, UNTRAINED, Dataset
from spinalroots.errors import require_file
from spinalroots.files import folder_in_one_piece
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, write_probability, write_volume
from spinalroots.inference.predictor import Predictor, Runner
from spinalroots.registry.anatomy import Scheme


def predict_cases(
    predictor: Predictor,
    cases: Mapping[str, Dataset],
    centrelines: Path,
    folder: Path,
    *,
    untrained: Predictor | None = None,
    runner: Runner | None = None,
) -> None:
    """Labels and root probability of every case, on the grid of its own scan.

    :param cases: name → the data set with the scan.
    :param centrelines: folder of NAME.json, found in the scans alone.
    :param folder: replaced whole; it is the pipeline's own.
    :param untrained: the same network as it was before it learnt anything; its labels of the first
        case lie beside the prediction.
    :param runner: runs the trained network in place of the predictor.
    """
    with folder_in_one_piece(folder) as staging:
        written = Dataset(staging)
        for number, (name, source) in enumerate(
            tqdm(cases.items(), desc=predictor.name, unit="scan")
        ):
            scan, centreline = read_image(source.image(name)), _read(centrelines / f"{name}.json")
            prediction = predictor.predict(scan, centreline, runner)
            labels = written.labels(name, predictor.target.scheme)
            write_volume(labels, prediction.labels, native=scan.native)
            if prediction.tissues is not None:
                tissues = written.labels(name, Scheme.TISSUES)
                write_volume(tissues, prediction.tissues, native=scan.native)
            foreground = written.map(name, FOREGROUND)
            write_probability(foreground, prediction.foreground, native=scan.native)
            if untrained and number == 0:
                before = untrained.predict(scan, centreline).labels
                write_volume(written.map(name, UNTRAINED), before, native=scan.native)
        written.write_description(f"Predictions of {predictor.name}")


def _read(path: Path) -> Centreline:
    fix = "Run the stage `centreline` first."
    return Centreline.read(require_file(path, expected="the centreline found in the scan", fix=fix))
