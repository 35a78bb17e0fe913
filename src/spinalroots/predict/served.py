"""A model of MLflow's registry as it answers: scans as bytes in, label maps as bytes out.

MLflow copies this file beside the model's own and runs it there (models from code), so that nothing
of it is ever pickled; `mlflow models serve` and `mlflow.pyfunc.load_model` both come here.
"""

import base64
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema

SCAN = "scan"
"""Column of the scans: the bytes of a NIfTI file, .nii or .nii.gz (base64 in JSON)."""
MAPS = ("levels", "individuals")
RECORD = "record"
"""Column of what `predict` writes into its JSON."""
ARTIFACT = "model"
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", SCAN)]),
    outputs=Schema([ColSpec("string", name) for name in (*MAPS, RECORD)]),
)


class Served(PythonModel):
    """Segments each scan on a CPU; label maps come back as base64 of a NIfTI file (.nii.gz) on the
    scan's own grid."""

    def load_context(self, context: Any) -> None:
        """Unpack and load the model's file, every byte of which is checked."""
        from spinalroots.predict import archive, load

        folder = archive.unpacked(Path(context.artifacts[ARTIFACT]))
        self.model = load.load(folder, "cpu")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict | None = None) -> Any:
        """A row a scan: its maps and its record.

        :param model_input: column `scan`, bytes of a NIfTI file.
        :raises InputError: a scan cannot be used.
        """
        return pd.DataFrame([self._answer(bytes(scan)) for scan in model_input[SCAN]])

    def _answer(self, content: bytes) -> dict[str, str]:
        from spinalroots.imaging.volume import read_image, write_volume
        from spinalroots.predict.scan import segment
        from spinalroots.registry.anatomy import Scheme

        with tempfile.TemporaryDirectory(prefix="spinalroots-scan-") as place:
            path = Path(place) / "scan.nii.gz"
            packed = content.startswith(b"\x1f\x8b")
            path.write_bytes(content if packed else gzip.compress(content, 1))
            scan = read_image(path)
            found = segment(scan, self.model)
            answer = {RECORD: json.dumps(found.record)}
            for name in MAPS:
                labels = Path(place) / f"{name}.nii.gz"
                write_volume(labels, found.maps[Scheme(name)], native=scan.native)
                answer[name] = base64.b64encode(labels.read_bytes()).decode()
        return answer


mlflow.models.set_model(Served())
