"""A prediction's time: the first scan from an empty process, and each further one of the same call.

Needs the default model, and a real scan of the lumbar spine or else a refined case. Every scan is a
copy of that one: reading, network, clean-up, picture and all files are counted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._resenc import planned
from spinalroots.dataset.layout import Dataset
from spinalroots.files import read_json
from spinalroots.imaging.volume import Volume, read_image
from spinalroots.registry import paths
from spinalroots.registry.models import DEFAULT_MODEL

FEW, MANY = 1, 5
"""Scans of two calls: their difference is the time of the further ones."""


def run() -> list[dict]:
    """Seconds of a further scan against the 1.5 s that are allowed, one and two side by side."""
    scan = _scan()
    began = time.perf_counter()
    volume = read_image(scan)
    shape = "×".join(map(str, volume.data.shape))
    reading = time.perf_counter() - began
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for jobs in (1, 2):
            few, many = (_seconds(scan, Path(folder), count * jobs, jobs) for count in (FEW, MANY))
            further = (many - few) / ((MANY - FEW) * jobs)
            if jobs == 1:
                records += _against_resenc(volume, few, further)
            records.append(
                {
                    "name": f"predict: a further scan, {jobs} at once",
                    "ours": further,
                    "other": 1.5 + reading,
                    "ratio": (1.5 + reading) / further,
                    "unit": "s",
                    "compared": f"scan of {shape} voxels, {DEFAULT_MODEL}, to all files, against "
                    f"1.5 s and the {reading:.2f} s of reading it; the first took {few:.1f} s, the "
                    "start of the program and of the model included",
                }
            )
    return records


def _against_resenc(scan: Volume, first: float, further: float) -> list[dict]:
    """Ours from the command to all files; theirs only what its network takes, start-up for free."""
    resenc = planned()
    other = resenc.tiles(scan) * resenc.seconds
    return [
        {
            "name": f"predict: whole scan against ResEncM, {words}",
            "ours": ours,
            "other": other,
            "ratio": other / ours,
            "unit": "s",
            "compared": f"`spinalroots predict` with {DEFAULT_MODEL} as packaged, to all files, "
            f"against {resenc.words(scan)}",
        }
        for words, ours in (("start-up included", first), ("without start-up", further))
    ]


def _scan() -> Path:
    real = sorted(paths.REAL_SCANS.glob("lumbar/*t2*.nii.gz"), key=lambda path: len(path.name))
    if real:
        return real[0]
    case = read_json(paths.SPLIT)["test"][0]
    return Dataset(paths.REFINED).image(case)


def _seconds(scan: Path, folder: Path, count: int, jobs: int) -> float:
    scans, out = folder / f"in-{jobs}-{count}", folder / f"out-{jobs}-{count}"
    scans.mkdir()
    for number in range(count):
        shutil.copy(scan, scans / f"scan{number:02d}.nii.gz")
    command = [sys.executable, "-m", "spinalroots", "predict", str(scans), "-o", str(out)]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--quiet", "--device", "cpu", "--jobs", str(jobs)],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began
