"""Stage `postprocess`: every model's predictions cleaned up, with sides, on the scans' grids."""

from pathlib import Path

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.files import folder_in_one_piece
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_labels, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.postprocess.sides import root_maps
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import Model, models_below
from spinalroots.registry.paths import POSTPROCESSED, PREDICTIONS, SCAN_CENTRELINES


def main(params: Params) -> None:
    """Postprocess the predictions of every model that has any."""
    models = models_below(PREDICTIONS, "predict_nnunet predict_hardnet")
    with folder_in_one_piece(POSTPROCESSED) as staging:
        jobs = [
            (staging, model, case, params) for model in models for case in predicted_cases(model)
        ]
        each(_write_case, jobs, params.workers, "postprocess")
        for model in models:
            Dataset(staging / model.name).write_description(f"Predictions of {model.name}")


def predicted_cases(model: Model) -> list[str]:
    """Cases of which the model has a prediction, sorted."""
    folder = Dataset(PREDICTIONS / model.name)
    labels = (PREDICTIONS / model.name / "derivatives" / "labels").glob("sub-*")
    return sorted(path.name for path in labels if folder.has(path.name, model.scheme))


def _write_case(staging: Path, model: Model, case: str, params: Params) -> None:
    labels = read_labels(Dataset(PREDICTIONS / model.name).labels(case, model.scheme))
    centreline = Centreline.read(SCAN_CENTRELINES / f"{case}.json")
    maps = root_maps(labels, model.target(), centreline, **params.postprocess.model_dump())
    for scheme in (Scheme.ENTITY, Scheme.LEVELS, Scheme.INDIVIDUALS):
        path = Dataset(staging / model.name).labels(case, scheme)
        write_volume(path, maps[scheme], native=labels.native)
