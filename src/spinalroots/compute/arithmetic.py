"""The arithmetic of the data stages: the same bytes from every x86-64 processor.

Libraries look at the processor and choose among several versions of an exponential, a matrix
product or a Fourier transform; the versions round differently, and so do sums that are split over
more or fewer threads. A data stage is therefore started with every such choice made beforehand, and
made as any processor can carry it out. docs/reproducibility.md lists what differed.

The C library and numpy read their variable only when a process starts, so this file imports nothing
of either: `bin/stage` runs it for the variables, then the stage. Worker processes inherit them.
"""

import os
import sys
from collections.abc import Mapping

FULL_SPEED = ("train_", "predict_", "tune_", "quantize")
"""Beginnings of the names of the stages that run networks: they use all that the processor has."""

VARIABLES = {
    # exp, log, pow, sin of the C library; names of glibc 2.33 and later, and of earlier ones
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-FMA_Usable,-FMA4_Usable",
    # numpy's own; below these lies the x86-64-v2 that it is built for
    "NPY_DISABLE_CPU_FEATURES": "X86_V3,X86_V4,AVX512_ICL,AVX512_SPR",
    # products and solvers of numpy and scipy; the block sizes of older types follow the cache
    "OPENBLAS_CORETYPE": "Nehalem",
    # torch's element-wise operations, interpolation and random numbers
    "ATEN_CPU_CAPABILITY": "default",
    # torch's Fourier transforms and matrix products; the only branch that is one for all makers
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    # nnU-Net compresses with four threads, and blocks are stored in the order they are finished
    "BLOSC_NTHREADS": "1",
}
"""What a data stage is started with, whatever the caller's environment says."""


def variables(stage: str) -> dict[str, str]:
    """Environment variables to start `stage` with; none for a stage that runs networks."""
    return {} if stage.startswith(FULL_SPEED) else VARIABLES


def not_in_force(stage: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the variables of `stage` that `environment` lacks or has another value of."""
    return [name for name, value in variables(stage).items() if environment.get(name) != value]


def warn_unless_in_force(stage: str) -> None:
    """Say so when `stage` was started in another way than by `bin/stage`."""
    if names := not_in_force(stage):
        print(
            f"{stage}: the result may differ in its last digits from another machine's, for want "
            f"of {', '.join(names)}; start it with bin/stage",
            file=sys.stderr,
        )


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in variables(sys.argv[1]).items()))
