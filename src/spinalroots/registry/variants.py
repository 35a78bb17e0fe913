"""The pairs of precision and runtime that make sense on a CPU. Free of torch."""

from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """Number format of the weights, and of the arithmetic where the runtime can."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT8_CONTROLLED = "int8-controlled"
    """int8, but layers that cost too much Dice stay in fp32."""


class Runtime(StrEnum):
    """What runs the network."""

    PYTORCH = "pytorch"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True, order=True)
class Variant:
    """One way to run a network; `name` is also the folder of its export.

    >>> Variant(Precision.INT8, Runtime.OPENVINO).name
    'openvino-int8'
    """

    precision: Precision
    runtime: Runtime

    @property
    def name(self) -> str:
        """``<runtime>-<precision>``."""
        return f"{self.runtime}-{self.precision}"


REFERENCE = Variant(Precision.FP32, Runtime.PYTORCH)
"""What every other variant is compared with: the network as it was trained."""

CONTROLLED = Variant(Precision.INT8_CONTROLLED, Runtime.OPENVINO)
"""The fallback where plain int8 loses too much."""

VARIANTS: tuple[Variant, ...] = (
    REFERENCE,
    Variant(Precision.BF16, Runtime.PYTORCH),
    Variant(Precision.FP32, Runtime.OPENVINO),
    Variant(Precision.FP16, Runtime.OPENVINO),
    Variant(Precision.BF16, Runtime.OPENVINO),
    Variant(Precision.INT8, Runtime.OPENVINO),
    Variant(Precision.FP32, Runtime.ONNXRUNTIME),
    Variant(Precision.INT8, Runtime.ONNXRUNTIME),
)
"""Everything sensible. PyTorch has no int8 kernel for 3D convolutions on a CPU, and fp16 only for
some layers; ONNX Runtime's CPU kernels have no half precision (each layer is cast to fp32)."""


def chosen(runtimes: tuple[Runtime, ...], precisions: tuple[Precision, ...]) -> tuple[Variant, ...]:
    """The sensible variants among the given runtimes and precisions; the reference is always in."""
    return tuple(
        variant
        for variant in VARIANTS
        if variant == REFERENCE or (variant.runtime in runtimes and variant.precision in precisions)
    )


def runs_here(variant: Variant) -> bool:
    """Whether this machine computes in the variant's number format.

    Only bf16 is in question: it needs the processor's own instructions. fp16 weights can be stored
    everywhere, and int8 falls back to older instructions.
    """
    if variant.precision is not Precision.BF16:
        return True
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
