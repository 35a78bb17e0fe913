"""Peak memory of refining one case, against the size of its float32 volume."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.flood_fill import SHAPE, scene
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.pipeline import params as parameters
from spinalroots.refine.dataset import refine_case
from spinalroots.registry.anatomy import REFINED_ROOTS, Scheme, individuals_to_levels


def run() -> dict:
    """Peak resident memory of a fresh process above what it holds before the case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_case(Dataset(root / "raw"))
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            peak = pool.apply(_peak_bytes, (root,))
    volume = 4 * int(np.prod(SHAPE))
    return {
        "name": "refine_memory",
        "ours": round(peak / 2**20, 1),
        "other": round(volume / 2**20, 1),
        "ratio": round(peak / volume, 2),
        "unit": "MiB",
        "compared": "peak memory of refining one case (all four masks, flood fill, crop, writing), "
        f"above the idle process, against its float32 volume of {'×'.join(map(str, SHAPE))} "
        "voxels; the ratio must stay below 4",
    }


def _write_case(dataset: Dataset) -> None:
    labels, entity = scene()
    individuals = np.array([0, *(root.value for root in REFINED_ROOTS)], np.uint8)[labels]
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[140:244, 150:234] = np.where(entity[140:244, 150:234], 0, 2)
    affine = np.diag([0.6, 0.6, 0.9, 1.0])
    image = np.random.default_rng(0).integers(0, 2000, SHAPE).astype(np.int16)
    write_volume(dataset.image("sub-001"), Volume(image, affine))
    for scheme, data in (
        (Scheme.ENTITY, entity.astype(np.uint8)),
        (Scheme.LEVELS, individuals_to_levels(individuals)),
        (Scheme.INDIVIDUALS, individuals),
        (Scheme.TISSUES, tissues),
    ):
        write_volume(dataset.labels("sub-001", scheme), Volume(data, affine))


def _peak_bytes(root: Path) -> int:
    settings = parameters.load("params.yaml", scale="laptop").refine
    case = SelectedCase("sub-001", Dataset(root / "raw"), "ingested")
    before = _status_kib("VmRSS")
    refine_case(case, Dataset(root / "refined"), Dataset(root / "truth"), settings)
    return 1024 * (_status_kib("VmHWM") - before)


def _status_kib(key: str) -> int:
    """A line of /proc/self/status; a child's ru_maxrss would begin at its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
