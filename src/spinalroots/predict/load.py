"""A trained model from its folder, whichever family it is of."""

from __future__ import annotations

from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.inference.predictor import Predictor


def load_predictor(folder: Path, device: str = "cpu") -> Predictor:
    """The trained model in `folder` (model.json and model.safetensors; nothing is unpickled)."""
    description = Path(folder) / "model.json"
    if not description.is_file():
        raise InputError(
            description,
            expected="a trained model",
            found="no such file",
            fix="Run `dvc repro` or `dvc pull`.",
        )
    family = read_json(description)["family"]
    if family == "nnunet":
        from spinalroots.nnunet.predictor import NnunetPredictor

        return NnunetPredictor.load(folder, device)
    from spinalroots.hardnet.predictor import HardnetPredictor

    return HardnetPredictor.load(folder, device)
