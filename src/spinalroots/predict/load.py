"""A model's folder → everything that segments a scan, in memory."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.exports.description import read_description
from spinalroots.exports.runtimes import load_runner
from spinalroots.inference.layout import quickened
from spinalroots.inference.predictor import Predictor, Runner
from spinalroots.predict import archive, package, registered
from spinalroots.predict.package import Settings
from spinalroots.predict.trained import WEIGHTS, TrainedModel
from spinalroots.quality import appearance


@dataclass(frozen=True)
class Model:
    """A loaded model.

    `weights`: their sha256. `training_scans`: case → appearance, None where that is not known.
    `runner`: runs an export in the network's place; `runs` says what runs. `refused`: why the
    export that is there does not.
    """

    name: str
    predictor: Predictor
    settings: Settings
    weights: str
    training_scans: dict[str, dict[str, float]] | None
    runner: Runner | None = None
    runs: str = "PyTorch fp32"
    refused: str = ""


def find(model: str, models_root: Path) -> Path:
    """The folder of the model that a person means.

    :param model: a name below `models_root`, a model's folder, its file (`….zip`, unpacked for as
        long as this process lasts), or `models:/NAME@champion` and the like, of MLflow's registry.
    :raises InputError: there is none, or its file is not as it was written.
    """
    if registered.is_uri(model):
        return archive.unpacked(registered.fetch(model))
    with suppress(OSError):  # a name that no file can have
        for folder in (models_root / model, Path(model)):
            if folder.is_dir():
                return folder
        if Path(model).is_file():
            return archive.unpacked(Path(model))
    known = names(models_root)
    raise InputError(
        f"model {model}",
        expected="a model's folder, its file, models:/NAME@champion, "
        f"or the name of one in {models_root}",
        found=f"none of them ({models_root} has {', '.join(known) or 'no model'})",
        fix="Give a model with -m, or get the project's with `dvc repro` or `dvc pull`.",
    )


def names(models_root: Path) -> list[str]:
    """Names of the models in `models_root`, sorted."""
    return sorted(path.parent.name for path in Path(models_root).glob(f"*/{package.PACKAGE}"))


def load(folder: Path, device: str) -> Model:
    """The model in `folder` on a device (`cpu` or `cuda`); a CPU runs its export, if it has one.

    An export of other weights than the folder's, or one that is damaged, is not used.

    :raises InputError: the folder holds no whole model.
    """
    described = package.read(folder)
    trained = TrainedModel(Path(folder), described.settings.inference)
    predictor = trained.predictor(device)
    path = Path(folder) / appearance.FILE
    scans = appearance.read(path) if path.is_file() else None
    weights = trained.made_from[WEIGHTS]
    model = Model(predictor.name, predictor, described.settings, weights, scans)
    if device == "cpu" and described.export is not None:
        try:
            export = read_description(Path(folder) / package.EXPORT, trained.made_from)
            runner = load_runner(Path(folder) / package.EXPORT, export, predictor.network)
            model = replace(model, runner=runner, runs=export.variant.name)
        except InputError as error:
            model = replace(model, refused=str(error))
    # After the export, which may take the network's layers as they were trained.
    quickened(getattr(predictor, "whole", predictor.network))
    return model
