"""Where networks run: the device asked for, its number formats, the memory that it took."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """So many threads for torch as long as the block lasts; 0 leaves it as many as it has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def peak_memory_mb() -> float:
    """CUDA's peak if a GPU was used, else the peak resident size of this process since it started.

    The resident size counts everything, libraries too: it is meant to be asked in a fresh process.
    """
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_resident_mb()


def peak_resident_mb() -> float:
    """Peak resident size in MiB: VmHWM, which unlike getrusage forgets the parent's before exec."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import psutil

        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss) / 2**20
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
