"""A model's answers for the scans of data sets, written as a data set of their own."""

from collections.abc import Callable, Mapping
from pathlib import Path

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import FOREGROUND, NAME_CHANCE, UNTRAINED, Dataset
from spinalroots.errors import require_file
from spinalroots.files import folder_in_one_piece
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, write_probability, write_volume
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
    also: Callable[[Predictor, str, Volume, Centreline], None] | None = None,
    workers: int = 1,
) -> None:
    """Labels and root probability of every case, on the grid of its own scan.

    :param cases: name → the data set with the scan.
    :param centrelines: folder of NAME.json, found in the scans alone.
    :param folder: replaced whole; it is the pipeline's own.
    :param untrained: the same network as it was before it learnt anything; its labels of the first
        case lie beside the prediction.
    :param runner: runs the trained network in place of the predictor.
    :param also: called after each answer, with the predictor, the case's name, scan and centreline.
    :param workers: processes that share the cases, each with a copy of the predictor.
    """
    with folder_in_one_piece(folder) as staging:
        jobs = [
            (predictor, name, source.image(name), centrelines, staging, runner, also)
            for name, source in cases.items()
        ]
        each(_predict, jobs, workers, predictor.name, unit="scan")
        written = Dataset(staging)
        if untrained and cases:
            name, source = next(iter(cases.items()))
            scan = read_image(source.image(name))
            before = untrained.predict(scan, _read(centrelines / f"{name}.json")).labels
            write_volume(written.map(name, UNTRAINED), before, native=scan.native)
        written.write_description(f"Predictions of {predictor.name}")


def _predict(
    predictor: Predictor,
    name: str,
    image: Path,
    centrelines: Path,
    folder: Path,
    runner: Runner | None,
    also: Callable[[Predictor, str, Volume, Centreline], None] | None,
) -> None:
    scan, line, written = read_image(image), _read(centrelines / f"{name}.json"), Dataset(folder)
    prediction = predictor.predict(scan, line, runner)
    labels = written.labels(name, predictor.target.scheme)
    write_volume(labels, prediction.labels, native=scan.native)
    if prediction.tissues is not None:
        tissues = written.labels(name, Scheme.TISSUES)
        write_volume(tissues, prediction.tissues, native=scan.native)
    write_probability(written.map(name, FOREGROUND), prediction.foreground, native=scan.native)
    if prediction.name_chance is not None:
        sure = prediction.name_chance
        write_probability(written.map(name, NAME_CHANCE), sure, native=scan.native)
    if also:
        also(predictor, name, scan, line)


def _read(path: Path) -> Centreline:
    fix = "Run the stage `centreline` first."
    return Centreline.read(require_file(path, expected="the centreline found in the scan", fix=fix))
