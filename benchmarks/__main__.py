"""`make bench`: run every benchmark and write reports/benchmarks.json.

A benchmark is a module of this folder with `run()`, which returns records of the form
{"name", "ours", "other", "ratio", "unit", "compared"}. `python -m benchmarks NAME…` runs some only.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import sys
from pathlib import Path

import spinalroots  # noqa: F401  switches telemetry off before any library is imported
from spinalroots.files import read_json, write_json

REPORT = Path("reports/benchmarks.json")


def main(names: list[str]) -> int:
    """Run the named benchmarks (all without names); figures of others in the report are kept."""
    here = Path(__file__).parent
    known = sorted(
        module.name
        for module in pkgutil.iter_modules([str(here)])
        if not module.name.startswith("_")
    )
    if unknown := set(names) - set(known):
        print(f"error: no benchmark {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return 2
    report = read_json(REPORT) if REPORT.is_file() and names else {}
    report["machine"] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    for name in names or known:
        print(f"{name} …", flush=True)
        records = importlib.import_module(f"benchmarks.{name}").run()
        for record in records if isinstance(records, list) else [records]:
            report[record["name"]] = {key: record[key] for key in record if key != "name"}
            print(
                f"  {record['name']}: {record['ours']:.4g} against {record['other']:.4g} "
                f"{record['unit']}, ratio {record['ratio']:.3g} ({record['compared']})",
                flush=True,
            )
        write_json(REPORT, report)
    print(f"wrote {REPORT}")
    return 0


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
