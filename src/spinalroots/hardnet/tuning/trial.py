"""A trial of the tuning in its own process: `python -m` this module with a request file.

A fresh process, so that the peak memory it reports belongs to this trial alone, and so that running
out of memory kills the trial and not the study. Prints one JSON object a line: after the first step
the peak so far, halfway and at the end Dice and peak.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from spinalroots.hardnet.data.stacks import TrainingStack


def write_stacks(
    path: Path, training: list[TrainingStack], validation: list[TrainingStack]
) -> None:
    """Straightened cases as one uncompressed `.npz`, which a trial reads in no time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{part}/{number}/{what}": array
        for part, stacks in (("training", training), ("validation", validation))
        for number, stack in enumerate(stacks)
        for what, array in asdict(stack).items()
    }
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_stacks(path: Path, part: str) -> list[TrainingStack]:
    """The `training` or `validation` stacks of :func:`write_stacks`."""
    with np.load(path) as arrays:
        stacks: dict[str, dict] = {}
        for key in arrays:
            of, number, what = key.split("/")
            if of == part:
                stacks.setdefault(number, {})[what] = arrays[key]
    return [TrainingStack(**{**read, "name": str(read["name"])}) for read in stacks.values()]


def main(request_path: str) -> None:
    """Run the training that the request describes."""
    from spinalroots.compute.device import peak_memory_mb
    from spinalroots.hardnet.training.plan import TrainingPlan
    from spinalroots.hardnet.training.scores import validation_dice
    from spinalroots.hardnet.training.step import TrainingStep, start_fabric

    parent = os.getppid()
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    plan = TrainingPlan.from_dict(request["plan"])
    archive = Path(request["stacks"])
    training, validation = read_stacks(archive, "training"), read_stacks(archive, "validation")
    steps = max(2, plan.steps(request["megavoxels"]))
    halfway = max(1, round(request["prune_after"] * steps))
    step = TrainingStep(plan, start_fabric(plan.tuned.precision, request["device"]), steps)
    batches = step.batches(training, steps, epoch=0)
    while step.done < steps:
        loss = float(step(batches)["loss"])
        if os.getppid() != parent:
            return  # the study was killed: nobody listens
        figures = {"step": step.done, "loss": loss}
        if step.done == 1:
            tell(event="step", **figures, peak_memory_mb=peak_memory_mb())
        if step.done in (halfway, steps):
            scores = validation_dice(step, validation)
            tell(
                event="end" if step.done == steps else "halfway",
                **figures,
                dice=scores["dice"],
                dice_levels=scores.get("dice_levels", 0.0),
                peak_memory_mb=peak_memory_mb(),
            )


def tell(**record) -> None:
    """One line for the study."""
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
