"""Models of MLflow's registry, by `models:/NAME/VERSION` or `models:/NAME@ALIAS`."""

from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.registry.store import tracking_uri

FILE = "model.zip"
"""What a registered model holds: the file that :mod:`spinalroots.predict.archive` writes."""
_SCHEME = "models:/"


def is_uri(model: str) -> bool:
    """Whether a word names a registered model."""
    return model.startswith(_SCHEME)


def fetch(uri: str) -> Path:
    """The file of a registered model, downloaded unless it lies on this machine.

    :raises InputError: no MLflow, no such model, version or alias, or none that this project
        registered.
    """
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InputError(
            uri,
            expected="MLflow, to ask its registry",
            found=f"an installation without it ({error})",
            fix="Install mlflow, or give the model's folder or file.",
        ) from error
    mlflow.set_tracking_uri(tracking_uri())
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        raise InputError(
            uri,
            expected=f"a registered model of {tracking_uri()}",
            found=f"none ({str(error).splitlines()[0]})",
            fix="See the page Models of the MLflow UI (`make ui`), or run `dvc repro register`.",
        ) from error
    found = sorted(folder.rglob(FILE))
    if len(found) != 1:
        raise InputError(
            uri,
            expected=f"a model that spinalroots registered, with {FILE} in it",
            found=f"{len(found)} files of that name",
            fix="Give another model.",
        )
    return found[0]
