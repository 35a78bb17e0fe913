"""The files of a trained network that both families have: `model.json`, and its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spinalroots.errors import InputError, require_file
from spinalroots.files.text import read_object

if TYPE_CHECKING:
    from torch import nn

    Network = TypeVar("Network", bound=nn.Module)

FORMAT = 2
"""Version of model.json: which keys it has, and what the code makes of them."""


def read_description(folder: Path, family: str) -> dict:
    """The content of the folder's model.json.

    :param family: how an error calls the network.
    :raises InputError: it is of another format.
    """
    record = read_object(
        Path(folder) / "model.json",
        expected=f"{family} of format {FORMAT}",
        fix="Restore the folder, or train it again.",
    )
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


def load_network(build: Callable[[], Network], path: Path) -> Network:
    """A network with what :func:`save_weights` wrote; nothing is unpickled.

    It is built without memory first, and takes no more than its file holds: a description that
    wants a network of any size costs nothing.

    :param build: makes it, untrained.
    :raises InputError: there is no such file, or it belongs to another network.
    """
    import torch
    from safetensors.torch import load_model

    fix = "Restore both files together: pull the model folder as a whole, or train again."
    require_file(path, expected="the weights of a trained network", fix=fix)
    with torch.device("meta"):
        network = build()
    parts = [*network.parameters(), *network.buffers()]
    wanted, held = sum(part.numel() for part in parts), path.stat().st_size
    if wanted > held:
        raise InputError(
            path,
            expected=f"the {wanted} weights that model.json describes",
            found=f"a file of {held} bytes",
            fix=fix,
        )
    network = network.to_empty(device="cpu")
    try:
        load_model(network, str(path))
    except RuntimeError as error:
        raise InputError(
            path,
            expected="the weights that model.json describes",
            found=f"others ({str(error).splitlines()[0]})",
            fix=fix,
        ) from error
    return network
