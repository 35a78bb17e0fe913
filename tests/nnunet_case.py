"""A tiny data set for nnU-Net: bright tubes in the dark, in the folders that the stages read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.files import write_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.registry.anatomy import REFINED_ROOTS, Scheme, individuals_to_levels

SHAPE = (24, 20, 40)
TRAINING, VALIDATION, TEST = ["sub-01", "sub-02"], ["sub-03"], ["sub-04"]


def volume(seed: int) -> tuple[Volume, Volume]:
    """An image and its individual map: four upright tubes, two levels, left and right."""
    image = np.random.default_rng(seed).normal(0, 0.1, SHAPE).astype(np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    for index, root in enumerate(REFINED_ROOTS[:4]):
        level, side = divmod(index, 2)
        where = (slice(6 + 10 * side, 9 + 10 * side), slice(9, 12), slice(4 + 16 * level, 18))
        if level:
            where = (*where[:2], slice(20, 36))
        image[where] += 1
        labels[where] = root.value
    affine = np.diag([0.9, 0.9, 1.2, 1.0])
    return Volume(image, affine), Volume(labels, affine)


def write_case(dataset: Dataset, name: str, seed: int, parent: str | None = None) -> None:
    """A case with image, level map and individual map."""
    image, labels = volume(seed)
    write_volume(dataset.image(name), image)
    write_volume(dataset.labels(name, Scheme.INDIVIDUALS), labels)
    levels = labels.with_data(individuals_to_levels(labels.data))
    write_volume(dataset.labels(name, Scheme.LEVELS), levels)
    if parent:
        write_json(dataset.sidecar(name), {"parent": parent})


def write_inputs(root: Path) -> None:
    """data/refined, data/augmented, data/raw/phantom, data/centreline/raw and data/split.json."""
    refined = Dataset(root / "data" / "refined")
    for seed, name in enumerate([*TRAINING, *VALIDATION, *TEST]):
        write_case(refined, name, seed)
    write_case(Dataset(root / "data" / "augmented"), "sub-01aug01", 7, parent="sub-01")
    write_case(Dataset(root / "data" / "augmented"), "sub-04aug01", 8, parent="sub-04")
    write_case(Dataset(root / "data" / "raw" / "phantom"), TEST[0], 3)
    centreline().write(root / "data" / "centreline" / "raw" / f"{TEST[0]}.json")
    write_json(
        root / "data" / "split.json", {"train": TRAINING, "validation": VALIDATION, "test": TEST}
    )


def centreline() -> Centreline:
    """The straight line through the middle of the volume."""
    heights = np.linspace(0, 46, 24)
    points = np.stack([np.full(24, 10.4), np.full(24, 8.6), heights], axis=1)
    return Centreline(points, "image")


def tiny(params: Params, **training) -> Params:
    """Parameters for seconds: a network of two features, two epochs of three batches."""
    record = params.model_dump()
    record["nnunet"]["plan"].update(
        planner="small", memory_gb=0.01, base_features=2, max_features=4, blocks_per_stage=1
    )
    record["nnunet"]["training"].update(
        epochs=2, iterations=3, validation_iterations=1, device="cpu", precision="32"
    )
    record["nnunet"]["training"].update(training)
    return Params.model_validate(record)
