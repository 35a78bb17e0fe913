"""Refined and augmented cases as a raw data set of nnU-Net.

Images stay where they are and are named by their path; only labels are written anew, as
consecutive classes. The validation cases are those of the split, test cases never enter.
"""

import os
from pathlib import Path

import numpy as np

from spinalroots.dataset.learned import learned_classes
from spinalroots.dataset.selection import TrainingCase
from spinalroots.errors import InputError
from spinalroots.files import read_json, write_json
from spinalroots.imaging.volume import read_image, require_same_grid, write_volume
from spinalroots.registry.anatomy import Target
from spinalroots.registry.models import MODELS, Model

CASES = "cases.json"
"""Beside nnU-Net's own description: where every case came from and what for, voxels by class."""

FIRST_DATASET_ID = 101


def dataset_name(model: Model) -> str:
    """nnU-Net's name of the data set of a row, such as ``Dataset103_all_levels``."""
    rows = [other.name for other in MODELS.values() if other.family == "nnunet"]
    return f"Dataset{FIRST_DATASET_ID + rows.index(model.name)}_{model.row.replace('-', '_')}"


def write_raw_dataset(
    folder: Path, target: Target, training: list[TrainingCase], validation: list[TrainingCase]
) -> dict:
    """Write dataset.json, labelsTr and `CASES`; return the content of the latter."""
    if not training or not validation:
        raise InputError(
            folder,
            expected=f"training and validation cases with a map for {target.scheme}",
            found=f"{len(training)} training and {len(validation)} validation cases",
            fix="Annotate more cases, or give the split larger shares.",
        )
    record, files = {}, {}
    roles = [(case, "training") for case in training]
    roles += [(case, "validation") for case in validation]
    for case, role in roles:
        label = folder / "labelsTr" / f"{case.name}.nii.gz"
        image = case.dataset.image(case.name)
        counts = _write_labels(case, label, target)
        files[case.name] = {"images": [os.path.abspath(image)], "label": os.path.abspath(label)}
        record[case.name] = {"parent": case.parent, "role": role, "voxels": counts.tolist()}
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "T2"},
            "labels": {name: i for i, name in enumerate((*target.class_names, "ignore"))},
            "numTraining": len(record),
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "NibabelIO",
            "dataset": files,
        },
    )
    cases = {"target": target.as_dict(), "cases": record}
    write_json(folder / CASES, cases)
    return cases


def is_scan(name: str, cases: dict[str, dict]) -> bool:
    """Whether a case of `CASES` is a scan as it was taken, not a variant of one."""
    return cases[name]["parent"] == name


def forget_files(*folders: Path) -> None:
    """Drop from each folder's dataset.json where the cases lay while they were prepared."""
    for folder in folders:
        described = read_json(folder / "dataset.json")
        del described["dataset"]
        write_json(folder / "dataset.json", described)


def fold_splits(cases: dict[str, dict], folds: int) -> list[dict]:
    """nnU-Net's splits: one with the given validation cases, or a cross-validation over all.

    In the cross-validation a case and what was augmented from it are always on the same side, and
    only cases as they were scanned are validated on.

    :param cases: the entries of `CASES`.
    """
    if folds == 1:
        train, val = (
            sorted(name for name in cases if cases[name]["role"] == role)
            for role in ("training", "validation")
        )
        return [{"train": train, "val": val}]
    parents = sorted({case["parent"] for case in cases.values()})
    if len(parents) < folds:
        raise InputError(
            "nnunet.training.folds",
            expected=f"at least {folds} scans for {folds} folds",
            found=str(len(parents)),
            fix="Use folds: 1.",
        )
    splits = []
    for fold in range(folds):
        held_out = set(parents[fold::folds])
        train = sorted(name for name in cases if cases[name]["parent"] not in held_out)
        splits.append({"train": train, "val": sorted(held_out & cases.keys())})
    return splits


def _write_labels(case: TrainingCase, path: Path, target: Target) -> np.ndarray:
    """Write the classes of a case on its image's grid; return the voxels of each class.

    Roots that nobody named carry nnU-Net's `ignore` label, the one after the last class.
    """
    source, image = case.dataset.labels(case.name, target.scheme), case.dataset.image(case.name)
    count = len(target.class_names)
    classes = learned_classes(case.dataset, case.name, target, unnamed=count)
    require_same_grid(source, classes, image, read_image(image))
    write_volume(path, classes, native=classes.native)
    return np.bincount(classes.data.ravel(), minlength=count)[:count]
