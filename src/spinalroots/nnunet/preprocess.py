"""Fingerprint and preprocessing by nnU-Net's own functions, case by case, in this process.

nnU-Net runs both in a pool of processes that it starts anew each time; a worker that dies takes its
reason with it. Here a case that fails is named together with its cause, and a worker that is killed
is reported as what it nearly always is: memory.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import parallel_config
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
    DatasetFingerprintExtractor,
)
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from spinalroots.compute.parallel import each
from spinalroots.errors import InputError
from spinalroots.files import read_json, write_json
from spinalroots.nnunet.raw_data import CASES, is_scan

_FOREGROUND_SAMPLES = 10_000_000
"""Voxels, over all cases, from which intensity statistics are made."""
_ANNOTATED_SAMPLES = 10_000
"""Voxels of a case that stand for all that are not ignored."""


class Preprocessor(DefaultPreprocessor):
    """nnU-Net's own. Beside an `ignore` label it also asks for places of "anything annotated", for
    which its own sorts all voxels of a scan; chance gives the same at once."""

    @staticmethod
    def _sample_foreground_locations(seg, classes_or_regions, seed=1234, **others):
        """Class or region → voxels (n, 4) of `seg` (1, *spatial) where patches may be placed."""
        single = [one for one in classes_or_regions if not isinstance(one, (tuple, list))]
        places = DefaultPreprocessor._sample_foreground_locations(seg, single, seed, **others)
        for region in classes_or_regions[len(single) :]:
            drawn = np.random.default_rng(seed).integers(seg.size, size=_ANNOTATED_SAMPLES)
            drawn = drawn[np.isin(seg.ravel()[drawn], region)]
            places[tuple(region)] = np.stack(np.unravel_index(drawn, seg.shape), axis=1)
        return places


def write_fingerprint(
    raw: Path, preprocessed: Path, workers: int = 1, prefer: str = "processes"
) -> dict:
    """nnU-Net's dataset fingerprint: spacings, shapes and root intensities of the scans.

    Not of what was augmented from them: a row with variants and one without are planned alike, so
    that the variants are all that tells them apart.
    """
    cases = read_json(raw / CASES)["cases"]
    dataset = {name: files for name, files in _dataset(raw).items() if is_scan(name, cases)}
    samples = _FOREGROUND_SAMPLES // len(dataset)
    tasks = [(name, files, samples) for name, files in dataset.items()]
    results = _each(_analyse, tasks, workers, prefer)
    shapes, spacings, intensities, _, relative_sizes = zip(*results, strict=True)
    pooled = np.concatenate([case[0] for case in intensities])
    low, median, high = np.percentile(pooled, (0.5, 50.0, 99.5))
    fingerprint = {
        "spacings": [[float(step) for step in spacing] for spacing in spacings],
        "shapes_after_crop": [[int(size) for size in shape] for shape in shapes],
        "foreground_intensity_properties_per_channel": {
            "0": {
                "mean": float(pooled.mean()),
                "median": float(median),
                "std": float(pooled.std()),
                "min": float(pooled.min()),
                "max": float(pooled.max()),
                "percentile_99_5": float(high),
                "percentile_00_5": float(low),
            }
        },
        "median_relative_size_after_cropping": float(np.median(relative_sizes)),
    }
    write_json(preprocessed / "dataset_fingerprint.json", fingerprint)
    return fingerprint


def preprocess(
    raw: Path,
    preprocessed: Path,
    plans: dict,
    configuration: str,
    workers: int = 1,
    prefer: str = "processes",
) -> Path:
    """Crop, normalise and resample every case for a configuration; returns the data's folder."""
    identifier = plans["configurations"][configuration]["data_identifier"]
    folder = preprocessed / identifier
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        (name, files, plans, configuration, raw, folder) for name, files in _dataset(raw).items()
    ]
    _each(_preprocess, tasks, workers, prefer)
    return folder


def _dataset(raw: Path) -> dict:
    return get_filenames_of_train_images_and_targets(str(raw), read_json(raw / "dataset.json"))


def _analyse(name: str, files: dict, samples: int) -> tuple:
    return DatasetFingerprintExtractor.analyze_case(
        files["images"], files["label"], NibabelIO, num_samples=samples
    )


def _preprocess(
    name: str, files: dict, plans: dict, configuration: str, raw: Path, folder: Path
) -> None:
    manager = PlansManager(plans)
    chosen = manager.get_configuration(configuration)
    Preprocessor(verbose=False).run_case_save(
        str(folder / name),
        files["images"],
        files["label"],
        manager,
        chosen,
        read_json(raw / "dataset.json"),
    )


def _each(work: Callable, tasks: list[tuple], workers: int, prefer: str) -> list:
    """`work(*task)` for every task, in order; the first of a task names the case in an error."""
    name = work.__name__.strip("_")
    with parallel_config(prefer=prefer):
        return each(_guarded, [(work, task) for task in tasks], workers, name)


def _guarded(work: Callable, task: tuple):
    try:
        return work(*task)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"case {task[0]}",
            expected=f"to {work.__name__.strip('_')} it",
            found=f"{type(error).__name__}: {error}",
            fix=f"Check the image {task[1]['images'][0]} and its labels.",
        ) from error
