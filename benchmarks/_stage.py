"""One stage in a fresh process: its processor time and its peak memory as a JSON line."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def run(project: Path, *stage: str, **environment: str) -> dict[str, float]:
    """Figures of a stage that runs in the folder `project`, in a process of its own."""
    import spinalroots
    from spinalroots.compute.arithmetic import variables

    done = subprocess.run(
        [sys.executable, __file__, *stage],
        cwd=project,
        env={
            **os.environ,
            **variables(stage[0]),
            "PYTHONPATH": str(Path(spinalroots.__file__).parents[1]),
            "MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}",
            "DVC_ROOT": str(project),
            **environment,
        },
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(stage)}:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {key: round(value, 2) for key, value in found.items()}


def main(name: str, row: str | None = None) -> None:
    """Run the stage in this folder, without worker processes: all of it is seen."""
    from spinalroots.compute.device import peak_resident_mb
    from spinalroots.pipeline import params

    loaded = params.load()
    stage = importlib.import_module(f"spinalroots.stages.{name}")
    began, cpu = time.perf_counter(), time.process_time()
    stage.main(loaded, row) if row else stage.main(loaded)
    record = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - began,
        "peak_mb": peak_resident_mb(),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main(*sys.argv[1:])
