"""Where networks run, and in which number format: words from a person, made sure of here."""

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


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware: AMX, or AVX512-BF16.

    Elsewhere bf16 is emulated, and slower than fp32. AVX512-BF16 alone is worth it: on an EPYC that
    has no AMX, forward and backward pass of a 3D convolution block took 0.45 s instead of 1.01 s,
    HarDNet's step 0.69 s instead of 1.24 s at batch 64 and 0.15 s instead of 0.18 s at batch 8.
    """
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def resolved_precision(precision: str, device: str) -> str:
    """`auto` in full, in Lightning's words: `bf16-mixed` where the hardware computes in it, else
    `16-mixed` on a GPU and `32` on a CPU. Any other word is returned as it is.

    :param device: `cpu` or `cuda`.
    """
    import torch

    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if cpu_computes_bf16() else "32"
