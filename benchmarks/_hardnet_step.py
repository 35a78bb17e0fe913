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

    from spinalroots.compute.memory import peak_memory_mb
    from spinalroots.hardnet.data.patches import Case
    from spinalroots.hardnet.data.straighten import Stack
    from spinalroots.hardnet.training.short import short_training
    from spinalroots.hardnet.training.step import Plan
    from spinalroots.settings.augment import Transforms
    from spinalroots.settings.hardnet import Hardnet, Tunable

    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    tuned = Tunable.model_validate(request["tuned"])
    plan = Plan(
        Hardnet.model_validate(request["hardnet"]),
        tuned,
        request["classes"],
        seed=0,
        transforms=Transforms.model_validate(request["transforms"]),
    )
    rng = np.random.default_rng(0)
    shape = (tuned.patch_vox, tuned.patch_vox, 128)
    classes = (rng.random(shape) < 0.02).astype(np.uint8)
    case = Case("noise", Stack(rng.random(shape, np.float32), np.zeros(128, np.float32)), classes)
    before = peak_memory_mb()
    marks = [time.perf_counter() for _ in short_training(plan, [case], request["steps"])]
    seconds = float(np.min(np.diff(marks[1:])))
    voxels = plan.shape.voxels * tuned.batch * tuned.accumulate
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
