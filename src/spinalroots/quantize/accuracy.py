"""int8 where it is harmless, fp32 where it costs Dice: NNCF's accuracy control."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from spinalroots.exports.runtimes import one_by_one
from spinalroots.inference.predictor import Runner
from spinalroots.quantize.export import quiet, spared

if TYPE_CHECKING:
    import openvino

MAX_REVERTED = 12
"""Groups of layers that may go back to fp32 before the search gives up."""


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
        request = compiled.create_infer_request()

        def run(single: np.ndarray) -> np.ndarray:
            request.infer([np.ascontiguousarray(single, np.float32)])
            return np.array(request.get_output_tensor(0).data, np.float32)

        return score(one_by_one(run)), [[run(item[None])] for item in inputs]

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
