"""int8 of a network's graph, and fp32 where int8 costs Dice: NNCF."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from spinalroots.exports.runtimes import compiled_runner
from spinalroots.inference.predictor import Runner

if TYPE_CHECKING:
    import openvino

MAX_REVERTED = 12
"""Groups of layers that may go back to fp32 before the search gives up."""


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


def quantize_controlled(
    graph: openvino.Model,
    calibration: list[np.ndarray],
    score: Callable[[Runner], float],
    max_loss: float,
) -> openvino.Model:
    """int8, with the layers that hurt most turned back to fp32 until `score` is good enough.

    Layers are ranked by what int8 does to the logits of the calibration inputs, which costs one
    network run each. They are turned back one after another, and only then is `score` asked again,
    because it predicts whole volumes.

    :param graph: fp32 OpenVINO graph.
    :param calibration: network inputs (C, *spatial) of training cases.
    :param score: what must be kept, higher is better: Dice on cases that are not test cases.
    :param max_loss: how much lower than fp32's the score may be.
    """
    import nncf

    items = nncf.Dataset(calibration, lambda item: item[None])

    def validate(compiled, inputs) -> tuple[float, list[list[np.ndarray]]]:
        run = compiled_runner(compiled)
        return score(run), [[run(item[None])] for item in inputs]

    with quiet():
        return nncf.quantize_with_accuracy_control(
            graph,
            items,
            items,
            validate,
            max_drop=max_loss,
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=spared(graph),
            subset_size=len(calibration),
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                max_num_iterations=MAX_REVERTED, num_ranking_workers=1
            ),
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Converters warn about every layer, and draw a progress bar per pass."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
