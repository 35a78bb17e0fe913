"""`make bench`: run every benchmark and write reports/benchmarks.json.

A benchmark is a module of this folder with `run()`, which returns records of the form
{"name", "ours", "other", "ratio", "unit", "compared"}. `python -m benchmarks NAME…` runs some only;
those of `ON_DEMAND` run in no other way. A benchmark that lacks its data is left out, and said so.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import sys
from pathlib import Path

import spinalroots  # noqa: F401  switches telemetry off before any library is imported
from benchmarks import goals
from spinalroots.errors import InputError
from spinalroots.files import read_json, write_json

REPORT = Path("reports/benchmarks.json")
APART = ("goals", "growth")
"""Modules here that are no benchmark of this kind."""
ON_DEMAND = ("quantization", "budgets")
"""They take long: exports of a network of 102 million parameters, two trainings."""


def main(names: list[str]) -> int:
    """Run the named benchmarks (all without names); figures of others in the report are kept."""
    here = Path(__file__).parent
    known = sorted(
        module.name
        for module in pkgutil.iter_modules([str(here)])
        if not module.name.startswith("_") and module.name not in APART
    )
    if unknown := set(names) - set(known):
        print(f"error: no benchmark {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return 2
    before = read_json(REPORT) if REPORT.is_file() else {}
    kept = before if names else {key: before[key] for key in before if key.startswith(ON_DEMAND)}
    report = {key: value for key, value in kept.items() if key != "goals"}
    report["machine"] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    for name in names or [one for one in known if one not in ON_DEMAND]:
        print(f"{name} …", flush=True)
        try:
            records = importlib.import_module(f"benchmarks.{name}").run()
        except (InputError, FileNotFoundError) as error:
            print(f"  left out: {error}", flush=True)
            continue
        for record in records if isinstance(records, list) else [records]:
            report[record["name"]] = {key: record[key] for key in record if key != "name"}
            print(
                f"  {record['name']}: {record['ours']:.4g} against {record['other']:.4g} "
                f"{record['unit']}, ratio {record['ratio']:.3g} ({record['compared']})",
                flush=True,
            )
        write_json(REPORT, report)
    report["goals"] = goals.table(report)
    write_json(REPORT, report)
    print(f"\n{goals.printed(report['goals'])}\n\nwrote {REPORT}")
    return 0


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
