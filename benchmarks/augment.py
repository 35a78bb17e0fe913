"""Augmentation: cases per second in one and two processes, memory of a worker, roots left whole.

The case is synthetic, tubes of the size of a refined scan at laptop scale: nothing is read from the
project's data.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._augment_labels import SHAPE, SPACING_MM, rasterise, root_curves, score_methods
from spinalroots.augment import dataset
from spinalroots.augment.dataset import Variant
from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import Scheme, individuals_to_levels

VARIANTS = 8
SEED = 0
TISSUE_GREYS = np.array([0.0, 450.0, 900.0])
CORD_RADIUS_VOX, SAC_RADIUS_VOX = 5, 12


def run() -> list[dict]:
    """Scaling over processes, memory of a worker, and roots that stay whole."""
    augment = params.load("params.yaml", scale="laptop").augment
    with tempfile.TemporaryDirectory() as folder:
        source = Dataset(Path(folder) / "refined")
        write_case(source)
        rate = {n: cases_per_second(source, augment, n, Path(folder) / str(n)) for n in (1, 2)}
        idle, peak = worker_memory_mb(source, augment, Path(folder) / "memory")
    scores = score_methods(augment, draws=6, radius_vox=0.8)
    ours, nearest = scores["shares + bridges"], scores["nearest neighbour"]
    size = "×".join(map(str, SHAPE))
    return [
        record(
            "augment: two processes",
            rate[2],
            rate[1],
            "cases/s",
            "augmented cases made per second by two processes (ours) and by one (other); the ratio "
            f"is the scaling, 2 at best. A case: a scan of {size} voxels with four label maps, "
            "read, transformed and written",
        ),
        record(
            "augment: peak memory of a worker",
            peak,
            idle,
            "MB",
            f"peak resident memory of one worker process after a case of {size} voxels (ours) and "
            "after importing torchio and torch alone (other): the difference is what a case takes",
        ),
        record(
            "augment: roots in one piece",
            ours["whole"],
            nearest["whole"],
            "%",
            "share of thin roots (radius 0.8 voxels) still in one piece after the default spatial "
            "transforms: this project's label warping (ours), nearest neighbour (other)",
        ),
    ]


def record(name: str, ours: float, other: float, unit: str, compared: str) -> dict:
    """A benchmark record."""
    ratio = ours / other if other else float("inf")
    return {
        "name": name,
        "ours": float(ours),
        "other": float(other),
        "ratio": float(ratio),
        "unit": unit,
        "compared": compared,
    }


def cases_per_second(source: Dataset, augment, workers: int, cache: Path) -> float:
    """Whole variants per second, once the workers are up."""
    from joblib.externals.loky import get_reusable_executor

    def batch(first: int, count: int) -> list[Variant]:
        names = [f"sub-1aug{first + n:02d}" for n in range(count)]
        return [Variant(name, "sub-1", "bench", "all", 0, SHAPE[2] - 1) for name in names]

    def make(variants: list[Variant]) -> None:
        folders = {one.name: cache / one.name for one in variants}
        dataset.make_all(source, variants, augment, SEED, folders=folders, workers=workers)

    make(batch(90, workers))
    begin = time.perf_counter()
    make(batch(1, VARIANTS))
    rate = VARIANTS / (time.perf_counter() - begin)
    get_reusable_executor().shutdown()
    return rate


def worker_memory_mb(source: Dataset, augment, cache: Path) -> tuple[float, float]:
    """Peak resident memory of a fresh worker: after the imports, and after one whole variant."""
    from joblib.externals.loky import ProcessPoolExecutor

    variant = Variant("sub-1aug01", "sub-1", "bench", "all", 0, SHAPE[2] - 1)
    with ProcessPoolExecutor(max_workers=1) as pool:
        idle = pool.submit(_peak_mb).result()
        pool.submit(dataset.make_variant, source, variant, augment, SEED, cache).result()
        return idle, pool.submit(_peak_mb).result()


def _peak_mb() -> float:
    """Peak resident memory of this process since it was started (Linux), torchio imported."""
    import SimpleITK  # noqa: F401
    import torchio  # noqa: F401

    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) / 1024


def write_case(source: Dataset) -> None:
    """One scan with roots in CSF and all four label maps."""
    individuals = rasterise(root_curves(0), 0.9)
    x, y, _ = np.indices(SHAPE)
    off_axis = np.hypot(x - SHAPE[0] / 2, y - SHAPE[1] / 2)
    tissues = np.where(off_axis < CORD_RADIUS_VOX, 1, np.where(off_axis < SAC_RADIUS_VOX, 2, 0))
    scan = TISSUE_GREYS[tissues] - 300 * (individuals > 0)
    scan += np.random.default_rng(SEED).normal(0, 30, SHAPE)
    affine = np.diag([*SPACING_MM, 1.0])
    maps = {
        Scheme.INDIVIDUALS: individuals,
        Scheme.LEVELS: individuals_to_levels(individuals),
        Scheme.ENTITY: (individuals > 0).astype(np.uint8),
        Scheme.TISSUES: tissues.astype(np.uint8),
    }
    write_volume(source.image("sub-1"), Volume(scan.clip(0).astype(np.float32), affine))
    for scheme, data in maps.items():
        write_volume(source.labels("sub-1", scheme), Volume(data, affine))
