"""Peak memory and speed of one training step, in a fresh process: REQUEST.json → one JSON line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(request_path: str) -> None:
    """Run a few optimizer steps on random patches of the request's size."""
    import numpy as np
    import torchio  # noqa: F401  # the first augmented patch would import it during a step

    from spinalroots.compute.device import peak_memory_mb
    from spinalroots.hardnet.data.stacks import TrainingStack
    from spinalroots.hardnet.training.plan import TrainingPlan
    from spinalroots.hardnet.training.step import TrainingStep, start_fabric

    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    plan = TrainingPlan.from_dict(request["plan"])
    tuned = plan.tuned
    rng = np.random.default_rng(0)
    shape = (tuned.patch_vox, tuned.patch_vox, 128)
    classes = (rng.random(shape) < 0.02).astype(np.uint8)
    image, heights = rng.random(shape, np.float32), np.zeros(128, np.float32)
    stack = TrainingStack(image, heights, classes, "noise")
    before, steps = peak_memory_mb(), request["steps"]
    step = TrainingStep(plan, start_fabric(tuned.precision, "cpu"), steps)
    batches = step.batches([stack], steps, epoch=0)
    marks = []
    while step.done < steps:
        step(batches)
        marks.append(time.perf_counter())
    seconds = float(np.min(np.diff(marks[1:])))
    voxels = plan.shape.voxels * plan.step_patches()
    print(
        json.dumps(
            {
                "megavoxels_per_s": voxels / seconds / 1e6,
                "peak_mb": peak_memory_mb(),
                "step_mb": peak_memory_mb() - before,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
