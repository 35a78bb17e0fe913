"""HarDNet: whole-volume inference and size against nnU-Net's ResEncM, and what the switches save.

Needs data/refined, data/centreline and data/split.json: the ResEncM network is the one that
`nnUNetPlannerResEncM` plans for the very cases that HarDNet trains on. Speed does not depend on the
weights, so both networks are untrained; both run in PyTorch, fp32.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases, with_map
from spinalroots.files import read_json, write_json
from spinalroots.hardnet.training.plan import TrainingPlan, build
from spinalroots.hardnet.training.scores import predictor
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image
from spinalroots.pipeline import params
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import MODELS
from spinalroots.settings.hardnet import Hardnet, Tunable
from spinalroots.settings.nnunet import NnunetPlan
from spinalroots.stages.train_hardnet import tuned_values

TILE_STEP = 0.5
"""nnU-Net's own shift between tiles, as a share of a tile."""

STEPS = 6
LARGE_BATCH = 64


def run() -> list[dict]:
    """Inference, parameters, and a training step with and without the memory switches."""
    hardnet = params.load("params.yaml").hardnet
    tuned = hardnet.tunable(tuned_values(hardnet))
    return [*against_resenc(hardnet, tuned), *training_step(hardnet, tuned)]


def against_resenc(hardnet: Hardnet, tuned: Tunable) -> list[dict]:
    """Seconds for one refined scan from grey values to labels, and numbers of parameters."""
    target = MODELS["hardnet-all-levels"].target()
    classes = len(target.class_names)
    name = read_json(paths.SPLIT)["validation"][0]
    scan = read_image(Dataset(paths.REFINED).image(name))
    centreline = Centreline.read(paths.CENTRELINES / f"{name}.json")
    plan = TrainingPlan(hardnet.recipe, tuned, target, seed=0)
    ours = predictor(plan, build(plan).eval(), "benchmark")
    seconds = fastest(lambda: ours.predict(scan, centreline), repeats=4)
    network, patch, spacing = planned_resenc(classes)
    other, tiles = resenc_seconds(network, patch, spacing, scan)
    size = "×".join(map(str, scan.data.shape))
    our_count, count = (
        sum(one.numel() for one in net.parameters()) for net in (ours.network, network)
    )
    return [
        record(
            "hardnet: inference time",
            seconds,
            other,
            other / seconds,
            "s",
            f"scan of {size} voxels to labels, against the {tiles} tiles of nnU-Net's ResEncM plan "
            f"(patch {'×'.join(map(str, patch))}, step {TILE_STEP}; network alone), fp32",
        ),
        record(
            "hardnet: parameters",
            our_count,
            count,
            count / our_count,
            "parameters",
            "HarDNet against the ResidualEncoderUNet that nnUNetPlannerResEncM plans here",
        ),
    ]


def planned_resenc(classes: int):
    """Network, patch (Z, Y, X) and spacing of the ResEncM plan for our training cases."""
    from spinalroots.nnunet import environment
    from spinalroots.nnunet.network import build_network
    from spinalroots.nnunet.planner import plan
    from spinalroots.nnunet.preprocess import write_fingerprint
    from spinalroots.nnunet.raw_data import dataset_name, write_raw_dataset

    model = MODELS["nnunet-all-levels"]
    split = read_json(paths.SPLIT)
    refined = [Dataset(paths.REFINED)]
    training, _ = with_map(training_cases(split["train"], refined), Scheme.LEVELS)
    validation, _ = with_map(training_cases(split["validation"], refined), Scheme.LEVELS)
    name = dataset_name(model)
    wanted = NnunetPlan.model_validate(
        {**dict.fromkeys(NnunetPlan.model_fields), "planner": "resenc_m"}
    )
    with tempfile.TemporaryDirectory() as folder, environment.folders(Path(folder), workers=1):
        raw, preprocessed = (Path(folder) / part / name for part in ("raw", "preprocessed"))
        write_raw_dataset(raw, model.target(), training, validation)
        write_fingerprint(raw, preprocessed)
        plans = plan(name, wanted)
    chosen = plans["configurations"][environment.CONFIGURATION]
    network = build_network(plans, environment.CONFIGURATION, classes).eval()
    return network, tuple(chosen["patch_size"]), chosen["spacing"]


def resenc_seconds(network, patch, spacing, scan: Volume) -> tuple[float, int]:
    """Seconds for all tiles over the scan, from a timed one, and how many they are."""
    import torch

    shape = scan.data.shape[::-1] * scan.spacing_mm[::-1] / np.asarray(spacing)
    step = np.asarray(patch) * TILE_STEP
    tiles = int(np.prod(np.ceil(np.maximum(shape - patch, 0) / step) + 1))
    tile = torch.randn(1, 1, *patch)
    with torch.inference_mode():
        return fastest(lambda: network(tile), repeats=2) * tiles, tiles


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def training_step(hardnet: Hardnet, tuned: Tunable) -> list[dict]:
    """Memory and speed of a step as configured, against all switches off at the same batch.

    With the default batch, and with one large enough for memory to matter.
    """
    records = []
    for batch in (tuned.batch * tuned.accumulate, LARGE_BATCH):
        ours = tuned.model_copy(update={"batch": batch, "accumulate": 1})
        off = {"precision": "32", "channels_last": False, "checkpointing": False}
        lean = measured(hardnet, ours.model_copy(update={"checkpointing": True}))
        found, other = measured(hardnet, ours), measured(hardnet, ours.model_copy(update=off))
        compared = (
            f"precision {tuned.precision}, channels-last {tuned.channels_last}, checkpointing "
            f"{tuned.checkpointing}, against fp32 without any switch; {tuned.patch_vox} voxels"
        )
        speed = [figures["megavoxels_per_s"] for figures in (found, other)]
        name = f"hardnet: training step, batch {batch}"
        records += [
            record(f"{name}, speed", *speed, speed[0] / speed[1], "megavoxels/s", compared),
            memory_record(f"{name}, memory", found, other, compared),
            memory_record(f"{name}, memory with checkpointing", lean, other, compared),
        ]
    return records


def memory_record(name: str, ours: dict, other: dict, compared: str) -> dict:
    """Peak memory of the steps above that of the process before them."""
    sizes = ours["step_mb"], other["step_mb"]
    return record(name, *sizes, sizes[1] / sizes[0], "MB above the idle process", compared)


def measured(hardnet: Hardnet, tuned: Tunable) -> dict:
    """Figures of a fresh process (`benchmarks/_hardnet_step.py`)."""
    target = MODELS["hardnet-all-levels"].target()
    transforms = params.load("params.yaml").augment.transforms
    plan = TrainingPlan(hardnet.recipe, tuned, target, seed=0, transforms=transforms)
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.json"
        write_json(
            request,
            {"plan": plan.as_dict(), "steps": STEPS},
        )
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("_hardnet_step.py")), str(request)],
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def record(name, ours, other, ratio, unit, compared) -> dict:
    """One line of the report; a ratio above one is in our favour."""
    return {
        "name": name,
        "ours": float(ours),
        "other": float(other),
        "ratio": float(ratio),
        "unit": unit,
        "compared": compared,
    }
