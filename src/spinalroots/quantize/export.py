"""Writing exports: a trained network in another precision, for another runtime."""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinalroots.exports.description import FILES, describe
from spinalroots.registry.variants import Precision, Runtime, Variant

if TYPE_CHECKING:
    import onnx
    import openvino
    import torch

_INPUT, _OUTPUT = "image", "logits"
ONNX_OPSET = 17


class Exporter:
    """Writes one network as several variants, converting it once per runtime.

    :param network: fp32; (B, C, *spatial) → logits. Switched to eval mode.
    :param input_shape: (C, *spatial) of one network input; exports take exactly that.
    :param model: name of the trained model, for `export.json`.
    :param made_from: file of the trained model → sha256, for `export.json`.
    :param calibration: network inputs (C, *spatial), training cases only; int8 is made with them.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        input_shape: tuple[int, ...],
        model: str,
        made_from: Mapping[str, str],
        calibration: list[np.ndarray],
    ):
        self.network, self.input_shape = network.eval(), input_shape
        self.model, self.made_from, self.calibration = model, made_from, calibration

    def write(self, variant: Variant, folder: Path, graph: openvino.Model | None = None) -> None:
        """Write `variant` into `folder`; `graph`: of the network, where it was quantized before."""
        folder.mkdir(parents=True, exist_ok=True)
        path, int8 = folder / FILES[variant.runtime][0], variant.precision is Precision.INT8
        if variant.runtime is Runtime.PYTORCH:
            _write_pytorch(self.network, variant, path)
        elif variant.runtime is Runtime.OPENVINO:
            graph = graph or self.openvino_graph
            _write_openvino(
                quantize_graph(graph, self.calibration) if int8 else graph, variant, path
            )
        else:
            onnx_graph = self.onnx_graph
            _write_onnx(
                quantize_graph(onnx_graph, self.calibration, _INPUT) if int8 else onnx_graph, path
            )
        seen = variant.precision in {Precision.INT8, Precision.INT8_CONTROLLED}
        describe(
            folder,
            variant,
            model=self.model,
            input_shape=self.input_shape,
            made_from=self.made_from,
            calibration=_digest(self.calibration) if seen else "",
        )

    @cached_property
    def openvino_graph(self) -> openvino.Model:
        """The network as an OpenVINO graph."""
        return to_openvino(self.network, self.input_shape)

    @cached_property
    def onnx_graph(self) -> onnx.ModelProto:
        """The network as an ONNX graph."""
        return to_onnx(self.network, self.input_shape)


def size_mb(folder: Path) -> float:
    """Size of an export on disk in MB (10⁶ bytes), all its files."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6


def to_openvino(network: torch.nn.Module, input_shape: tuple[int, ...]) -> openvino.Model:
    """The network as a static OpenVINO graph; BatchNorm is folded into the convolutions."""
    import openvino
    import torch

    example = torch.zeros(1, *input_shape)
    with quiet(), torch.inference_mode():
        graph = openvino.convert_model(network, example_input=example, input=[(1, *input_shape)])
    graph.inputs[0].get_tensor().set_names({_INPUT})
    graph.outputs[0].get_tensor().set_names({_OUTPUT})
    return graph


def to_onnx(network: torch.nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The network as a static ONNX graph; BatchNorm is folded into the convolutions."""
    import onnx
    import torch

    buffer = io.BytesIO()
    with quiet():
        torch.onnx.export(
            network,
            (torch.zeros(1, *input_shape),),
            buffer,
            dynamo=False,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            opset_version=ONNX_OPSET,
        )
    return onnx.load_from_string(buffer.getvalue())


def quantize_graph(graph: Any, calibration: list[np.ndarray], input_name: str | None = None) -> Any:
    """Post-training int8 (NNCF) of an OpenVINO or ONNX graph.

    Weights per channel and symmetric; activations asymmetric, which suits what leaky ReLU leaves
    below zero; biases corrected for the mean error. The first convolution stays as it is
    (:func:`spared`).

    :param calibration: network inputs (C, *spatial).
    :param input_name: name of the graph's input (ONNX only).
    """
    import nncf

    def feed(item: np.ndarray):
        return {input_name: item[None]} if input_name else item[None]

    with quiet():
        return nncf.quantize(
            graph,
            nncf.Dataset(calibration, feed),
            subset_size=len(calibration),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=spared(graph),
        )


def spared(graph: Any) -> Any:
    """NNCF's scope of what is never quantized: the convolution that reads the network's input.

    int8 gives the whole input one scale. HarDNet's holds grey values and a height, and the height
    came out so coarse that Dice fell by 0.013; with this layer spared it fell by 0.002.
    """
    import nncf

    if hasattr(graph, "get_ordered_ops"):
        named = ((op.get_type_name(), op.get_friendly_name()) for op in graph.get_ordered_ops())
    else:
        named = ((node.op_type, node.name) for node in graph.graph.node)
    first = next(name for kind, name in named if kind in {"Convolution", "Conv"})
    return nncf.IgnoredScope(names=[first])


def _write_openvino(graph: openvino.Model, variant: Variant, path: Path) -> None:
    """Below fp32, weights that are not int8 are stored as fp16."""
    import openvino

    openvino.save_model(graph, path, compress_to_fp16=variant.precision is not Precision.FP32)


def _write_onnx(graph: onnx.ModelProto, path: Path) -> None:
    import onnx

    onnx.save(graph, path)


def _write_pytorch(network: torch.nn.Module, variant: Variant, path: Path) -> None:
    """Weights that several layers share (nnU-Net's decoder holds its encoder) are stored once."""
    import torch
    from safetensors.torch import save_model

    kind = torch.bfloat16 if variant.precision is Precision.BF16 else torch.float32
    save_model(copy.deepcopy(network).to(kind), str(path))


def _digest(arrays: list[np.ndarray]) -> str:
    """sha256 of arrays of one shape."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Converters warn about every layer, and draw a progress bar per pass."""
    loggers = [logging.getLogger(name) for name in ("nncf", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with redirect_stdout(io.StringIO()):
                yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
