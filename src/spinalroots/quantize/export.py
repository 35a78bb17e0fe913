"""Writing exports: a trained network in another precision, for another runtime."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinalroots.exports.description import DESCRIPTION, FILES, Description
from spinalroots.files import sha256, write_json
from spinalroots.inference.stored import save_weights
from spinalroots.quantize.int8 import quantize_graph, quiet
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
            import openvino

            graph = graph or self.openvino_graph
            graph = quantize_graph(graph, self.calibration) if int8 else graph
            half = variant.precision is not Precision.FP32  # of weights that are not int8
            openvino.save_model(graph, path, compress_to_fp16=half)
        else:
            import onnx

            net = self.onnx_graph
            onnx.save(quantize_graph(net, self.calibration, _INPUT) if int8 else net, path)
        seen = int8 or variant.precision is Precision.INT8_CONTROLLED
        inputs = np.asarray(self.calibration, "<f4")
        described = Description(
            model=self.model,
            runtime=variant.runtime,
            precision=variant.precision,
            input_shape=self.input_shape,
            made_from=dict(self.made_from),
            calibration=hashlib.sha256(inputs.tobytes()).hexdigest() if seen else "",
            files={name: sha256(folder / name) for name in FILES[variant.runtime]},
        )
        write_json(folder / DESCRIPTION, described.model_dump(mode="json"))

    @cached_property
    def openvino_graph(self) -> openvino.Model:
        """The network as a static OpenVINO graph; BatchNorm is folded into the convolutions."""
        import openvino
        import torch

        shape = (1, *self.input_shape)
        example = torch.zeros(shape)
        with quiet(), torch.inference_mode():
            graph = openvino.convert_model(self.network, example_input=example, input=[shape])
        graph.inputs[0].get_tensor().set_names({_INPUT})
        graph.outputs[0].get_tensor().set_names({_OUTPUT})
        return graph

    @cached_property
    def onnx_graph(self) -> onnx.ModelProto:
        """The network as a static ONNX graph; BatchNorm is folded into the convolutions."""
        import onnx
        import torch

        buffer = io.BytesIO()
        with quiet():
            torch.onnx.export(
                self.network,
                (torch.zeros(1, *self.input_shape),),
                buffer,
                dynamo=False,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
                opset_version=ONNX_OPSET,
            )
        return onnx.load_from_string(buffer.getvalue())


def size_mb(folder: Path) -> float:
    """Size of an export on disk in MB (10⁶ bytes), all its files."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6


def _write_pytorch(network: torch.nn.Module, variant: Variant, path: Path) -> None:
    """Weights that several layers share (nnU-Net's decoder holds its encoder) are stored once.

    The library's own way to do so writes their other names in an order that changes every time.
    """
    import torch

    kind = torch.bfloat16 if variant.precision is Precision.BF16 else torch.float32
    save_weights(copy.deepcopy(network).to(kind), path)
