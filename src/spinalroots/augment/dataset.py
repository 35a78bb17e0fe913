"""Augmented cases on disk: each one made on its own, kept until it is collected, made only once.

Every variant is made in one piece in a folder that is named after all that determines it (parent
files, crop, limits, seed, code), so a killed run leaves whole variants or nothing, and the next run
makes only what is missing.
"""

import os
import shutil
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.augment import transforms
from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.files import folder_in_one_piece, read_json, write_json
from spinalroots.imaging.volume import Grid, Volume, read_image, read_labels, write_volume
from spinalroots.registry.anatomy import Scheme
from spinalroots.settings.augment import Augment

HALO_MM = 10.0
"""Kept around a crop while it is turned, then cut off: real tissue comes in at its ends."""

KEEP_DAYS = 2
"""How long unused variants stay in the cache: experiments side by side share it."""


@dataclass(frozen=True)
class Variant:
    """One augmented case to make: slices `first`…`last` (inclusive) of `parent`."""

    name: str
    parent: str
    purpose: str
    levels: str
    first: int
    last: int


def make_variant(
    source: Dataset, variant: Variant, augment: Augment, seed: int, folder: Path
) -> dict:
    """Make one variant as a data set of one case in `folder`, unless it is there.

    Returns its record: what :func:`replay` needs, and how many voxels each label got.
    """
    if not folder.is_dir():
        _one_thread()
        scan, maps = read_case(source, variant.parent)
        record = draw_record(variant, scan, augment, seed)
        image, moved = replay(record, scan, maps)
        record["source_slices"] = source_slices(record, scan)
        record["voxels"] = {
            str(scheme): count_labels(volume.data) for scheme, volume in moved.items()
        }
        with folder_in_one_piece(folder) as staging:
            made = Dataset(staging)
            write_volume(made.image(variant.name), image)
            for scheme, volume in moved.items():
                write_volume(made.labels(variant.name, scheme), volume)
            write_json(made.sidecar(variant.name), record)
    return read_json(Dataset(folder).sidecar(variant.name))


def read_case(source: Dataset, case: str) -> tuple[Volume, dict[Scheme, Volume]]:
    """A scan and the label maps it has."""
    maps = {
        scheme: read_labels(source.labels(case, scheme))
        for scheme in Scheme
        if source.has(case, scheme)
    }
    return read_image(source.image(case)), maps


def draw_record(variant: Variant, scan: Volume, augment: Augment, seed: int) -> dict:
    """What will be done to the parent, in plain numbers; chance depends on seed and name only."""
    rng = np.random.default_rng([seed, zlib.crc32(variant.name.encode())])
    halo = int(np.ceil(HALO_MM / scan.spacing_mm[2]))
    return {
        "parent": variant.parent,
        "purpose": variant.purpose,
        "levels": variant.levels,
        "slices": [variant.first, variant.last],
        "slices_with_halo": [
            max(variant.first - halo, 0),
            min(variant.last + halo, scan.data.shape[2] - 1),
        ],
        "seed": seed,
        "transforms": transforms.draw(augment, rng),
    }


def replay(
    record: dict, scan: Volume, maps: dict[Scheme, Volume]
) -> tuple[Volume, dict[Scheme, Volume]]:
    """Apply a record to its parent: the same record gives the same voxels."""
    first, last = record["slices_with_halo"]
    wide = (slice(None), slice(None), slice(first, last + 1))
    scan = scan.crop(wide)
    image, moved = transforms.apply_arrays(
        record["transforms"],
        scan.data,
        {scheme: volume.data[wide] for scheme, volume in maps.items()},
        scan.spacing_mm,
    )
    inner = slice(record["slices"][0] - first, record["slices"][1] - first + 1)
    box = (slice(None), slice(None), inner)
    return (
        scan.with_data(image).crop(box),
        {scheme: scan.with_data(data).crop(box) for scheme, data in moved.items()},
    )


def source_slices(record: dict, scan: Volume) -> list[float]:
    """The parent's slice, not rounded, that the middle of each slice of the variant shows."""
    first, last = record["slices_with_halo"]
    shape = (*scan.data.shape[:2], last - first + 1)
    inner = np.arange(record["slices"][0], record["slices"][1] + 1) - first
    shown = transforms.middle_slices(record["transforms"], shape, scan.spacing_mm, inner)
    return np.round(first + shown, 2).tolist()


def carried(record: dict, point_mm: np.ndarray, grid: Grid) -> float:
    """The slice of a variant on `grid` at whose height a point (3,) of its parent lies.

    May lie outside the variant: what a crop does not show still has its place beside it.
    """
    source = np.asarray(record["source_slices"], float)
    slices = np.arange(len(source))
    rise, start = np.polyfit(slices, source, 1) if len(source) > 1 else (1.0, source[0])
    # A variant's grid is its parent's from slice `slices[0]` on.
    wanted = record["slices"][0] + grid.to_voxels(point_mm)[2]
    return float((wanted - start) / rise)


def count_labels(data: np.ndarray) -> dict[str, int]:
    """Label value (as text, for JSON) → voxels, background left out."""
    counts = np.bincount(data.ravel(), minlength=1)
    return {str(value): int(counts[value]) for value in np.flatnonzero(counts) if value}


def make_all(
    source: Dataset,
    variants: Sequence[Variant],
    augment: Augment,
    seed: int,
    *,
    folders: Mapping[str, Path],
    workers: int,
) -> None:
    """Make every variant whose folder is not there.

    :param folders: variant name → where it is kept.
    """
    missing = [variant for variant in variants if not folders[variant.name].is_dir()]
    jobs = [(source, variant, augment, seed, folders[variant.name]) for variant in missing]
    each(_make, jobs, workers, "augment")


def _make(source: Dataset, variant: Variant, augment: Augment, seed: int, folder: Path) -> None:
    """Without the record: those of all variants would have to fit into memory."""
    make_variant(source, variant, augment, seed, folder)


def collect(folders: Iterable[Path], into: Path) -> None:
    """Copy the finished variants into one data set at `into` (its other files are the caller's)."""
    hidden = shutil.ignore_patterns(".*")
    for made in folders:
        shutil.copytree(
            made, into, ignore=hidden, copy_function=shutil.copyfile, dirs_exist_ok=True
        )


def forget_unused(cache: Path, used: Iterable[Path]) -> None:
    """Remove from `cache` what no run has used for :data:`KEEP_DAYS`, and what killed runs left."""
    for folder in used:
        os.utime(folder)
    oldest = time.time() - KEEP_DAYS * 24 * 3600
    for folder in cache.iterdir() if cache.is_dir() else ():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _one_thread() -> None:
    """One thread per worker: the workers are the parallelism."""
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
