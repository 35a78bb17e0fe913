"""nnU-Net at the size that ResEncM plans: half-precision and int8 exports against PyTorch fp32.

Random weights, so this is about speed and size only; Dice is measured by the `quantize` stage on
trained weights. Network and patch are what nnUNetPlannerResEncM (8 GB) plans for the refined whole
scans of the phantoms at laptop scale (row all-individuals-raw; median 238 × 89 × 66 voxels of
1.25 × 0.87 × 0.89 mm): six stages, 102 million parameters, a patch of 224 × 96 × 80. Takes
about 8 GB of memory.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spinalroots.exports import runtimes
from spinalroots.exports.description import read_description
from spinalroots.inference.predictor import Runner
from spinalroots.quantize import export
from spinalroots.registry.variants import REFERENCE, Precision, Runtime, Variant, runs_here

PATCH = (224, 96, 80)
"""Voxels along superior, anterior and right."""
CLASSES = 12
REPEATS = 3
CALIBRATION_SAMPLES = 2
COMPARED = (
    Variant(Precision.FP16, Runtime.OPENVINO),
    Variant(Precision.BF16, Runtime.OPENVINO),
    Variant(Precision.INT8, Runtime.OPENVINO),
)


def run() -> list[dict]:
    """Seconds for one planned patch and MB on disk, one pair of records per export."""
    network = planned_network()
    shape = (1, *PATCH)
    patches = np.random.default_rng(0).normal(size=(CALIBRATION_SAMPLES, *shape))
    patches = list(patches.astype(np.float32))
    variants = [REFERENCE, *(variant for variant in COMPARED if runs_here(variant))]
    with tempfile.TemporaryDirectory() as root:
        folders = {variant: Path(root) / variant.name for variant in variants}
        exporter = export.Exporter(network, shape, "resenc-m", {}, patches)
        for variant, folder in folders.items():
            exporter.write(variant, folder)
        sizes = {variant: export.size_mb(folder) for variant, folder in folders.items()}
        times = {}
        for variant, folder in folders.items():
            runner = _runner(folder, network)
            times[variant] = seconds(runner, patches[0][None])
            del runner
    network_size = f"ResEncM, {sum(p.numel() for p in network.parameters()) / 1e6:.0f} M parameters"
    records = []
    for variant in variants[1:]:
        label = f"{variant.runtime} {variant.precision}"
        records += [
            _record(
                f"quantization: {label} speed",
                times[variant],
                times[REFERENCE],
                "s",
                f"{label} against PyTorch fp32, {network_size}, one patch of "
                f"{' × '.join(map(str, PATCH))} voxels, median of {REPEATS}, "
                f"{runtimes.threads()} threads",
            ),
            _record(
                f"quantization: {label} size",
                sizes[variant],
                sizes[REFERENCE],
                "MB",
                f"files of the {label} export against PyTorch fp32 safetensors, {network_size}",
            ),
        ]
    return records


def planned_network():
    """ResidualEncoderUNet as ResEncM plans it, random weights, eval mode."""
    import torch
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    from torch import nn

    torch.manual_seed(0)
    stages = 6
    return ResidualEncoderUNet(
        input_channels=1,
        n_stages=stages,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=nn.Conv3d,
        kernel_sizes=[(3, 3, 3)] * stages,
        strides=[(1, 1, 1), *[(2, 2, 2)] * 4, (2, 1, 1)],
        n_blocks_per_stage=(1, 3, 4, 6, 6, 6),
        num_classes=CLASSES,
        n_conv_per_stage_decoder=(1,) * (stages - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()


def seconds(runner: Runner, batch: np.ndarray, clock: Callable[[], float] = time.perf_counter):
    """Median seconds of one run, after a warm-up."""
    runner(batch)
    taken = []
    for _ in range(REPEATS):
        started = clock()
        runner(batch)
        taken.append(clock() - started)
    return float(np.median(taken))


def _runner(folder: Path, network) -> Runner:
    return runtimes.load_runner(folder, read_description(folder, {}), network)


def _record(name: str, ours: float, other: float, unit: str, compared: str) -> dict:
    return {
        "name": name,
        "ours": round(ours, 4),
        "other": round(other, 4),
        "ratio": round(other / ours, 3),
        "unit": unit,
        "compared": compared,
    }
