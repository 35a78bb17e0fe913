"""What one export costs and gives, measured in a process of its own.

Each export is loaded in a fresh process, forked from one that has only imported the libraries, so
that no runtime's threads or buffers disturb the next one's figures.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from spinalroots.exports.description import read_description
from spinalroots.exports.runtimes import load_runner
from spinalroots.predict.trained import TrainedModel
from spinalroots.quantize.cases import MeasuredCase

_PRELOAD = [
    "spinalroots",  # first: it switches the others' telemetry off
    "torch",
    "openvino",
    "onnxruntime",
    "safetensors.torch",
    "spinalroots.quantize.measure",
    "spinalroots.nnunet.predictor",
    "spinalroots.hardnet.predictor",
]


@dataclass(frozen=True)
class Measurement:
    """Of one export; times in seconds.

    `inference_s` (cases × repeats,): a whole volume, from the scan to the label map. `network_s`,
    as many: the part of it spent in the network. `peak_memory_mb`: the most memory that loading
    and running took on top of what the process held before (scan and trained weights). `masks`:
    case → predicted mask, packed bits.
    """

    load_s: float
    inference_s: tuple[float, ...]
    network_s: tuple[float, ...]
    peak_memory_mb: float
    masks: dict[str, np.ndarray]

    def mask(self, case: str, shape: tuple[int, int, int]) -> np.ndarray:
        """Predicted mask (X, Y, Z) bool of a case, all classes together."""
        return np.unpackbits(self.masks[case], count=int(np.prod(shape))).reshape(shape) > 0


def make_ready() -> None:
    """Start the process that measuring ones are forked from; it imports while others work."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    forkserver.ensure_running()


def measure(
    export: Path, model: TrainedModel, cases: list[MeasuredCase], repeats: int
) -> Measurement:
    """Measure an export in a fresh process.

    :param export: folder of the export.
    :param model: for what happens before and after the network.
    :param cases: whole scans; each gives a mask.
    :param repeats: timed predictions of each case, after a warm-up.
    """
    make_ready()
    context = multiprocessing.get_context("forkserver")
    # A pipe and no pool: its locks lie in shared memory, which some containers have not got.
    receiver, sender = context.Pipe(duplex=False)
    job = (sender, export, model, cases, repeats)
    process = context.Process(target=_measure_and_send, args=job)
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"measuring {export} ended with {process.exitcode}") from None
    process.join()
    if isinstance(found, Exception):
        raise found
    return found


def _measure_and_send(sender: Connection, *job: Any) -> None:
    try:
        sender.send(measure_here(*job))
    except Exception as error:
        sender.send(error)


def measure_here(
    export: Path, model: TrainedModel, cases: list[MeasuredCase], repeats: int
) -> Measurement:
    """As :func:`measure`, in this process."""
    predictor = model.predictor()
    scans = {case.name: case.scan() for case in cases}
    warm_up = next(iter(predictor.inputs(*scans[cases[0].name])))[None]
    described = read_description(export, model.made_from)
    inference_s: list[float] = []
    network_s: list[float] = []
    masks = {}
    with PeakMemory() as memory:
        started = time.perf_counter()
        runner = load_runner(export, described, predictor.network)
        load_s = time.perf_counter() - started
        runner(warm_up)

        def timed(batch: np.ndarray) -> np.ndarray:
            began = time.perf_counter()
            logits = runner(batch)
            network_s[-1] += time.perf_counter() - began
            return logits

        for name, scan in [*scans.items()] * repeats:
            network_s.append(0.0)
            started = time.perf_counter()
            labels = predictor.predict(*scan, timed).labels.data
            inference_s.append(time.perf_counter() - started)
            masks[name] = np.packbits(labels > 0)
    return Measurement(load_s, tuple(inference_s), tuple(network_s), memory.peak_mb, masks)


class PeakMemory:
    """Context that samples this process's resident memory; `peak_mb` is the growth since entering.

    Sampled every 5 ms, so a shorter spike can be missed.
    """

    peak_mb = 0.0

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self._sample()

    def _sample(self) -> None:
        grown = (self._process.memory_info().rss - self._before) / 1e6
        self.peak_mb = max(self.peak_mb, grown)
