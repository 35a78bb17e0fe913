"""The other side: the network that nnU-Net's ResEncM plans for our training cases, and its time.

Network alone, PyTorch fp32, without mirroring: what reading, resampling and stitching take is given
to it for nothing. Untrained, as speed does not depend on the weights. One tile is timed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases, with_map
from spinalroots.files import read_json
from spinalroots.imaging.volume import Volume
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import MODELS
from spinalroots.settings.nnunet import NnunetPlan

TILE_STEP = 0.5
"""nnU-Net's own shift between tiles, as a share of a tile."""


@dataclass(frozen=True)
class Planned:
    """`patch` and `spacing_mm` as nnU-Net has them (Z, Y, X); `seconds` for one tile."""

    patch: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    parameters: int
    seconds: float

    def tiles(self, scan: Volume) -> int:
        """How many tiles cover the scan, cropped to where it is not zero, as nnU-Net does."""
        inside = [np.flatnonzero(scan.data.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        size = np.array([places[-1] - places[0] + 1 for places in inside])
        shape = (size * scan.spacing_mm)[::-1] / np.asarray(self.spacing_mm)
        step = np.asarray(self.patch) * TILE_STEP
        return int(np.prod(np.ceil(np.maximum(shape - self.patch, 0) / step) + 1))

    def words(self, scan: Volume) -> str:
        """What a record says of it."""
        patch = "×".join(map(str, self.patch))
        return (
            f"the {self.tiles(scan)} tiles of nnU-Net's ResEncM plan (patch {patch}, step "
            f"{TILE_STEP}; network alone, no mirroring), PyTorch fp32"
        )


@lru_cache(maxsize=1)
def planned() -> Planned:
    """Needs data/refined and data/split.json."""
    import torch

    from spinalroots.nnunet import environment
    from spinalroots.nnunet.network import build_network
    from spinalroots.nnunet.planner import plan
    from spinalroots.nnunet.preprocess import write_fingerprint
    from spinalroots.nnunet.raw_data import dataset_name, write_raw_dataset

    model = MODELS["nnunet-all-levels"]
    split = read_json(paths.SPLIT)
    refined = [Dataset(paths.REFINED)]
    training, _ = with_map(training_cases(split["train"], refined), Scheme.LEVELS)
    validation, _ = with_map(training_cases(split["validation"], refined), Scheme.LEVELS)
    name = dataset_name(model)
    wanted = NnunetPlan.model_validate(
        {**dict.fromkeys(NnunetPlan.model_fields), "planner": "resenc_m"}
    )
    with tempfile.TemporaryDirectory() as folder, environment.folders(Path(folder), workers=1):
        raw, preprocessed = (Path(folder) / part / name for part in ("raw", "preprocessed"))
        write_raw_dataset(raw, model.target(), training, validation)
        write_fingerprint(raw, preprocessed)
        plans = plan(name, wanted)
    chosen = plans["configurations"][environment.CONFIGURATION]
    classes = len(model.target().class_names)
    network = build_network(plans, environment.CONFIGURATION, classes).eval()
    patch = tuple(chosen["patch_size"])
    tile = torch.randn(1, 1, *patch)
    with torch.inference_mode():
        seconds = fastest(lambda: network(tile), repeats=1)
    count = sum(one.numel() for one in network.parameters())
    return Planned(patch, tuple(chosen["spacing"]), count, seconds)


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
