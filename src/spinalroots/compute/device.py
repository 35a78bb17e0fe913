"""Where networks run: one word from a person or the parameters, checked before work begins."""

from __future__ import annotations

from spinalroots.errors import InputError


def choose_device(wanted: str, named: str = "device") -> str:
    """`cpu` or `cuda`; `auto` is a GPU where there is one.

    :param named: what the person set, for the error.
    :raises InputError: an unknown word, or `cuda` where there is no GPU.
    """
    import torch

    available = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if available else "cpu"
    if wanted not in {"cpu", "cuda"}:
        raise InputError(named, expected="auto, cpu or cuda", found=repr(wanted), fix="Correct it.")
    if wanted == "cuda" and not available:
        raise InputError(
            named,
            expected="a CUDA device",
            found="none",
            fix="Use auto, or check the driver with nvidia-smi.",
        )
    return wanted


def device_name(device: str) -> str:
    """What a record calls the device of :func:`choose_device`: the GPU's name, or `cpu`."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device
