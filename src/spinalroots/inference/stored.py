"""The files of a trained network that both families have: `model.json`, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spinalroots.errors import InputError, require_file
from spinalroots.files import read_json

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
"""Version of model.json: which keys it has, and what the code makes of them."""


def read_description(folder: Path, family: str) -> dict:
    """The content of the folder's model.json.

    :param family: how an error calls the network.
    :raises InputError: it is of another format.
    """
    record = read_json(Path(folder) / "model.json")
    if record.get("format") != FORMAT:
        raise InputError(
            Path(folder) / "model.json",
            expected=f"{family} of format {FORMAT}",
            found=f"format {record.get('format')}",
            fix="Train it again, or use the version of spinalroots that made it.",
        )
    return record


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights as safetensors; what several modules share is stored once."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    parts = (*network.named_parameters(), *network.named_buffers())
    save_file({name: value.detach().contiguous() for name, value in parts}, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill the network with what :func:`save_weights` wrote; nothing is unpickled.

    :raises InputError: there is no such file, or it belongs to another network.
    """
    from safetensors.torch import load_model

    fix = "Restore both files together: pull the model folder as a whole, or train again."
    require_file(path, expected="the weights of a trained network", fix=fix)
    try:
        load_model(network, str(path))
    except RuntimeError as error:
        raise InputError(
            path,
            expected="the weights that model.json describes",
            found=f"others ({str(error).splitlines()[0]})",
            fix=fix,
        ) from error
