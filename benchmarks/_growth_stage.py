"""One stage in a fresh process: its processor time and its peak memory as a JSON line."""

from __future__ import annotations

import importlib
import json
import sys
import time


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
