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
from pathlib import Path

from benchmarks._resenc import fastest, planned
from spinalroots.dataset.layout import Dataset
from spinalroots.files import read_json, write_json
from spinalroots.hardnet.training.plan import TrainingPlan, build
from spinalroots.hardnet.training.scores import predictor
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image
from spinalroots.pipeline import params
from spinalroots.registry import paths
from spinalroots.registry.models import MODELS
from spinalroots.settings.hardnet import Hardnet, Tunable
from spinalroots.stages.train_hardnet import tuned_values

STEPS = 6
LARGE_BATCH = 64


def run() -> list[dict]:
    """Inference, parameters, and a training step with and without the memory switches."""
    hardnet = params.load("params.yaml").hardnet
    tuned = hardnet.tunable(tuned_values(hardnet))
    default = training_step(hardnet, tuned, tuned.batch * tuned.accumulate, "default")
    return [*against_resenc(hardnet, tuned), *default]


def main() -> None:
    """`python -m benchmarks.hardnet`: a step at a batch large enough for memory to matter, too."""
    hardnet = params.load("params.yaml").hardnet
    tuned = hardnet.tunable(tuned_values(hardnet))
    for one in training_step(hardnet, tuned, LARGE_BATCH, f"batch {LARGE_BATCH}", lean=True):
        print(f"{one['name']}: ratio {one['ratio']:.3g} ({one['compared']})")


def against_resenc(hardnet: Hardnet, tuned: Tunable) -> list[dict]:
    """Seconds for one refined scan from grey values to labels, and numbers of parameters."""
    target = MODELS["hardnet-all-levels"].target()
    name = read_json(paths.SPLIT)["validation"][0]
    scan = read_image(Dataset(paths.REFINED).image(name))
    centreline = Centreline.read(paths.CENTRELINES / f"{name}.json")
    plan = TrainingPlan(hardnet.recipe, tuned, target, seed=0)
    ours = predictor(plan, build(plan).eval(), "benchmark")
    seconds = fastest(lambda: ours.predict(scan, centreline), repeats=4)
    resenc = planned()
    other = resenc.tiles(scan) * resenc.seconds
    size = "×".join(map(str, scan.data.shape))
    count = sum(one.numel() for one in ours.network.parameters())
    return [
        record(
            "hardnet: inference time",
            seconds,
            other,
            other / seconds,
            "s",
            f"refined scan of {size} voxels to labels, fp32, against {resenc.words(scan)}",
        ),
        record(
            "hardnet: parameters",
            count,
            resenc.parameters,
            resenc.parameters / count,
            "parameters",
            "HarDNet against the ResidualEncoderUNet that nnUNetPlannerResEncM plans here",
        ),
    ]


def training_step(
    hardnet: Hardnet, tuned: Tunable, batch: int, words: str, *, lean: bool = False
) -> list[dict]:
    """Memory and speed of a step as configured, against all switches off at the same batch.

    :param lean: measure memory with checkpointing as well.
    """
    ours = tuned.model_copy(update={"batch": batch, "accumulate": 1})
    off = {"precision": "32", "channels_last": False, "checkpointing": False}
    found, other = measured(hardnet, ours), measured(hardnet, ours.model_copy(update=off))
    compared = (
        f"precision {tuned.precision}, channels-last {tuned.channels_last}, checkpointing "
        f"{tuned.checkpointing}, against fp32 without any switch; {tuned.patch_vox} voxels, batch "
        f"{batch}"
    )
    speed = [figures["megavoxels_per_s"] for figures in (found, other)]
    name = f"hardnet: training step, {words}"
    records = [
        record(f"{name}, speed", *speed, speed[0] / speed[1], "megavoxels/s", compared),
        memory_record(f"{name}, memory", found, other, compared),
    ]
    if lean:
        small = measured(hardnet, ours.model_copy(update={"checkpointing": True}))
        records.append(memory_record(f"{name}, memory with checkpointing", small, other, compared))
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


if __name__ == "__main__":
    main()
