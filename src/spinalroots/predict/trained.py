"""A network as its training left it: a folder with `model.json` and `model.safetensors`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from spinalroots.errors import InputError, require_file
from spinalroots.files import sha256
from spinalroots.inference.predictor import Predictor
from spinalroots.settings.base import read_record
from spinalroots.settings.inference import AnyInference

DESCRIPTION, WEIGHTS, CURVES = "model.json", "model.safetensors", "training.json"
MAKE = "Run `dvc repro` or `dvc pull`, or restore the folder."


class _Described(BaseModel):
    """What is asked of `model.json` here; its family reads the rest."""

    family: Literal["anatomy", "hardnet", "nnunet"]


@dataclass(frozen=True)
class TrainedModel:
    """The trained network in `folder`, and how it is to segment a scan."""

    folder: Path
    inference: AnyInference

    @cached_property
    def made_from(self) -> dict[str, str]:
        """File → sha256 of what decides the network: what its exports are made from."""
        return {name: sha256(_present(self.folder / name)) for name in (WEIGHTS, DESCRIPTION)}

    def predictor(self, device: str = "cpu") -> Predictor:
        """The network and its way from a scan to labels; nothing is unpickled.

        :raises InputError: a file is missing or damaged, or the two do not belong together.
        """
        from safetensors import SafetensorError

        inference: Any = self.inference
        path = self.folder / DESCRIPTION
        described = read_record(path, _Described, expected="a trained network", fix=MAKE)
        _present(self.folder / WEIGHTS)
        if described.family == "nnunet":
            load: Callable[..., Predictor] = _nnunet(path)
        elif described.family == "anatomy":
            from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor

            load = AnatomyPredictor.load
        else:
            from spinalroots.hardnet.predictor import HardnetPredictor

            load = HardnetPredictor.load
        try:
            return load(self.folder, device, inference)
        except SafetensorError as error:
            raise _damaged(self.folder / WEIGHTS, "the weights of a network", error) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(path, "a network's description", error) from error


def _nnunet(path: Path) -> Callable[..., Predictor]:
    """nnU-Net is not among the packages of a machine that only predicts."""
    try:
        from spinalroots.nnunet.predictor import NnunetPredictor
    except ModuleNotFoundError as error:
        raise InputError(
            path,
            expected="nnU-Net's package, to run its network",
            found=f"an installation without it ({error})",
            fix="Install all of requirements.lock, or use a HarDNet model.",
        ) from error
    return NnunetPredictor.load


def _present(path: Path) -> Path:
    return require_file(path, expected="a trained model", fix=MAKE)


def _damaged(path: Path, expected: str, error: Exception) -> InputError:
    words = f"{type(error).__name__}: {error}".splitlines()[0]
    return InputError(path, expected=expected, found=f"a damaged file ({words})", fix=MAKE)
