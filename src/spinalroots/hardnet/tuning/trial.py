"""A trial of the tuning in its own process: `python -m` this module with a request file.

A fresh process, so that the peak memory it reports belongs to this trial alone, and so that running
out of memory kills the trial and not the study. Prints one JSON object a line: after the first step
the peak so far, halfway and at the end Dice and peak.
"""

import json
import os
import sys
from pathlib import Path

from spinalroots.hardnet.data.stacks import StoredStacks

TRAINING, VALIDATION = "training", "validation"
"""Below the folder of the stacks: what a trial learns from, and what judges it."""


def main(request_path: str) -> None:
    """Run the training that the request describes."""
    from spinalroots.compute.device import peak_memory_mb
    from spinalroots.hardnet.training.plan import TrainingPlan
    from spinalroots.hardnet.training.scores import validation_dice
    from spinalroots.hardnet.training.step import TrainingStep, start_fabric

    parent = os.getppid()
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    plan = TrainingPlan.from_dict(request["plan"])
    stacks = Path(request["stacks"])
    training, validation = StoredStacks(stacks / TRAINING), StoredStacks(stacks / VALIDATION)
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
