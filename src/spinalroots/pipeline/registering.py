"""Models into MLflow's registry: their file, what they take and give, where they come from."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spinalroots import __version__
from spinalroots.files import sha256
from spinalroots.pipeline.champion import Rule, Version, champion
from spinalroots.predict import archive, served
from spinalroots.predict.registered import FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "champion"
FILE_SHA256, JUDGED_ON, FIGURE = "file_sha256", "judged_on", "validation_dice"
"""Tags of a version that the next ones are held against."""


def register(name: str, folder: Path, tags: Mapping[str, object], rule: Rule) -> tuple[int, bool]:
    """Register the model in `folder` below the active run, unless this very file is registered.

    :param tags: of the version; `judged_on` and `validation_dice` decide the champion.
    :return: the version, and whether it is new. The alias `champion` is set either way.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory(prefix="spinalroots-model-") as place:
        file = Path(place) / FILE
        archive.pack(folder, file, name)
        digest = sha256(file)
        known = _versions(client, name)
        number = next((one for one, old in known.items() if old.get(FILE_SHA256) == digest), None)
        new = number is None
        if number is None:
            logged = mlflow.pyfunc.log_model(
                name=name,
                python_model=served.__file__,
                artifacts={served.ARTIFACT: str(file)},
                signature=served.SIGNATURE,
                input_example=example(),
                pip_requirements=[f"spinalroots=={__version__}"],
                registered_model_name=name,
                await_registration_for=None,
            )
            number = int(logged.registered_model_version)
            told = {key: str(value) for key, value in tags.items() if value is not None}
            told[FILE_SHA256] = digest
            for key, value in told.items():
                client.set_model_version_tag(name, str(number), key, value)
            known[number] = told
    chosen = champion([_version(one, told) for one, told in known.items()], rule)
    client.set_registered_model_alias(name, ALIAS, str(chosen.number))
    return number, new


def example() -> pd.DataFrame:
    """A scan as the served model takes it: a bright tube, 36 × 36 × 54 mm, nobody's."""
    import nibabel as nib

    x, y = (np.arange(30) * 1.2 - 18 for _ in range(2))
    plane = 100 + 900 * (np.hypot(x[:, None], y[None]) < 9)
    voxels = np.repeat(plane[:, :, None], 36, axis=2).astype(np.int16)
    image = nib.Nifti1Image(voxels, np.diag([1.2, 1.2, 1.5, 1.0]))
    return pd.DataFrame({served.SCAN: [gzip.compress(image.to_bytes(), mtime=0)]})


def _versions(client: MlflowClient, name: str) -> dict[int, dict[str, str]]:
    found = client.search_model_versions(f"name = '{name}'")
    return {int(one.version): dict(one.tags) for one in found}


def _version(number: int, tags: Mapping[str, str]) -> Version:
    figure = tags.get(FIGURE)
    return Version(number, tags.get(JUDGED_ON, ""), None if figure is None else float(figure))
