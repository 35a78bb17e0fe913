"""Peak memory of this process, measured."""

from __future__ import annotations

from pathlib import Path


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
