"""Running an export: one :data:`~spinalroots.inference.predictor.Runner` whatever the runtime.

Exports are static: one network input at a time.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from spinalroots.errors import InputError
from spinalroots.exports.description import FILES, REMAKE, Description
from spinalroots.inference.predictor import Runner
from spinalroots.registry.variants import Precision, Runtime

if TYPE_CHECKING:
    import openvino
    import torch


def threads() -> int:
    """Threads that every runtime is given: OMP_NUM_THREADS, or this process's physical cores."""
    if explicit := os.environ.get("OMP_NUM_THREADS", "").split(",")[0]:
        return int(explicit)
    physical = psutil.cpu_count(logical=False) or 1
    return max(1, min(physical, len(psutil.Process().cpu_affinity())))


def load_runner(folder: Path, described: Description, network: torch.nn.Module) -> Runner:
    """The runner of an export folder.

    :param described: of :func:`~spinalroots.exports.description.read_description`.
    :param network: gives a PyTorch export, which holds weights only, its architecture; it stays
        as it is.
    :raises InputError: the runtime cannot read the file.
    """
    path = Path(folder) / FILES[described.runtime][0]
    try:
        if described.runtime is Runtime.OPENVINO:
            return openvino_runner(path, described.precision)
        if described.runtime is Runtime.ONNXRUNTIME:
            return onnx_runner(path)
        return pytorch_runner(network, path, described.precision)
    except Exception as error:  # each runtime has errors of its own, without a common kind
        raise InputError(
            path,
            expected=f"a network that {described.runtime} reads",
            found=f"{type(error).__name__}: {error}".splitlines()[0],
            fix=REMAKE,
        ) from error


def one_by_one(run: Runner) -> Runner:
    """A runner for batches (B, C, *spatial) out of one that takes (1, C, *spatial)."""

    def batched(batch: np.ndarray) -> np.ndarray:
        return np.concatenate([run(single[None]) for single in batch])

    return batched


def openvino_runner(path: Path, precision: Precision) -> Runner:
    """OpenVINO on the CPU, from an IR file.

    The arithmetic is pinned, because OpenVINO would otherwise use bf16 on any processor that has
    it: bf16 for bf16, fp32 for what int8 leaves over, and for fp16, where only the weights shrink.
    A square is too small to be shared between threads: each thread takes one of its own, in half
    the time. A 3D patch is shared, which takes less memory.
    """
    import openvino

    core = openvino.Core()
    graph = core.read_model(path)
    squares = len(graph.inputs[0].shape) == 4
    compiled = core.compile_model(
        graph,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": threads() if squares else 1,
            "INFERENCE_PRECISION_HINT": "bf16" if precision is Precision.BF16 else "f32",
            "INFERENCE_NUM_THREADS": threads(),
        },
    )
    return compiled_runner(compiled)


def compiled_runner(compiled: openvino.CompiledModel) -> Runner:
    """The runner of a graph that OpenVINO has compiled; inputs run side by side in its streams.

    Requests are waited for in turn and call nothing back: a callback into Python keeps the graph
    from being freed, for ever.
    """
    streams = compiled.get_property("NUM_STREAMS")
    requests = [compiled.create_infer_request() for _ in range(streams)]
    shape = tuple(compiled.outputs[0].shape)[1:]

    def run(batch: np.ndarray) -> np.ndarray:
        batch = np.ascontiguousarray(batch, np.float32)
        logits = np.empty((len(batch), *shape), np.float32)
        for place in range(len(batch) + streams):
            request = requests[place % streams]
            if 0 <= (done := place - streams) < len(batch):
                request.wait()
                logits[done] = request.get_output_tensor(0).data[0]
            if place < len(batch):
                request.start_async([batch[place : place + 1]], share_inputs=True)
        return logits

    return run


def onnx_runner(path: Path) -> Runner:
    """ONNX Runtime on the CPU, from an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(single: np.ndarray) -> np.ndarray:
        return session.run(None, {name: np.ascontiguousarray(single, np.float32)})[0]

    return one_by_one(run)


def pytorch_runner(network: torch.nn.Module, weights: Path, precision: Precision) -> Runner:
    """PyTorch on the CPU, in eval mode; a copy of `network` gets the weights.

    bf16 weights are stored, widened on loading, and the layers computed under autocast: a plain
    bf16 network fails on a CPU, where some layers (average pooling) exist in fp32 only.
    """
    import torch
    from safetensors.torch import load_model

    torch.set_num_threads(threads())
    bf16 = precision is Precision.BF16
    network = copy.deepcopy(network).eval()
    load_model(network, str(weights))

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            return network(torch.from_numpy(np.ascontiguousarray(batch))).float().numpy()

    return run
