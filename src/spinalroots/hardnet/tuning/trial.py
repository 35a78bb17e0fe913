"""A trial of the tuning in its own process: `python -m` this module with a request file.

A fresh process, so that the peak memory it reports belongs to this trial alone, and so that running
out of memory kills the trial and not the study. Prints one JSON object a line: after the first step
the peak so far, halfway and at the end Dice and peak.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from spinalroots.hardnet.data.patches import Case
from spinalroots.hardnet.data.straighten import Stack
from spinalroots.registry.anatomy import Target


def write_cases(path: Path, training: list[Case], validation: list[Case]) -> None:
    """Straightened cases as one uncompressed `.npz`, which a trial reads in no time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, cases in (("training", training), ("validation", validation)):
        for case in cases:
            arrays[f"{part}/{case.name}/image"] = case.stack.image
            arrays[f"{part}/{case.name}/heights"] = case.stack.heights
            arrays[f"{part}/{case.name}/classes"] = case.classes
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def read_cases(path: Path, part: str) -> list[Case]:
    """The `training` or `validation` cases of :func:`write_cases`."""
    with np.load(path) as arrays:
        names = [key.split("/")[1] for key in arrays if key.startswith(f"{part}/")]
        cases = []
        for name in dict.fromkeys(names):
            image, heights, classes = (
                arrays[f"{part}/{name}/{what}"] for what in ("image", "heights", "classes")
            )
            cases.append(Case(name, Stack(image, heights), classes))
        return cases


def main(request_path: str) -> None:
    """Run the training that the request describes."""
    from spinalroots.compute.memory import peak_memory_mb
    from spinalroots.hardnet.data.straighten import InputSpec
    from spinalroots.hardnet.training.short import mean_dice, short_training
    from spinalroots.hardnet.training.step import Plan
    from spinalroots.settings.augment import Transforms
    from spinalroots.settings.hardnet import Hardnet, Tunable

    parent = os.getppid()
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    target = Target.from_dict(request["target"])
    plan = Plan(
        Hardnet.model_validate(request["hardnet"]),
        Tunable.model_validate(request["tuned"]),
        len(target.class_names),
        request["seed"],
        tuple(request["class_weights"]) if request["class_weights"] else None,
        Transforms.model_validate(request["transforms"]) if request["transforms"] else None,
    )
    spec = InputSpec(plan.hardnet.square_mm, plan.hardnet.voxel_mm, plan.hardnet.slice_mm)
    archive = Path(request["cases"])
    training, validation = read_cases(archive, "training"), read_cases(archive, "validation")
    voxels = plan.shape.voxels * plan.tuned.batch * plan.tuned.accumulate
    steps = max(2, round(request["megavoxels"] * 1e6 / voxels))
    halfway = max(1, round(request["prune_after"] * steps))
    for step, loss, network in short_training(plan, training, steps, request["device"]):
        if os.getppid() != parent:
            return  # the study was killed: nobody listens
        if step == 1:
            tell(event="step", step=step, loss=loss, peak_memory_mb=peak_memory_mb())
        if step in (halfway, steps):
            scores = mean_dice(network, plan, spec, target, validation)
            tell(
                event="end" if step == steps else "halfway",
                step=step,
                loss=loss,
                dice=float(scores[0]),
                dice_levels=float(np.nan_to_num(np.nanmean(scores[1:]))),
                peak_memory_mb=peak_memory_mb(),
            )


def tell(**record) -> None:
    """One line for the study."""
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
