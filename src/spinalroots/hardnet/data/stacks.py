"""The cases that HarDNet learns from, straightened, with their classes."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from spinalroots.compute.parallel import each
from spinalroots.dataset.learned import learned_classes
from spinalroots.dataset.selection import TrainingCase, with_map
from spinalroots.errors import InputError, require_file
from spinalroots.files import read_json, write_bytes
from spinalroots.hardnet.data.straighten import InputSpec, Stack, network_stack, straighten
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image
from spinalroots.losses.truth import tubed_skeleton
from spinalroots.registry.anatomy import Scheme, Target

UNKNOWN_ROOT = 255
"""Class of a voxel that is a root, or may be one, and has no name: it is learnt and counted by
nobody."""

KEPT = 64
"""Stacks of a stored data set that stay in memory, about a megabyte each."""


@dataclass(frozen=True)
class TrainingStack(Stack):
    """A straightened case, with `classes` (S, S, Z) uint8 of the target, or `UNKNOWN_ROOT`."""

    classes: np.ndarray
    name: str

    @cached_property
    def root_voxels(self) -> dict[int, np.ndarray]:
        """Class → (N, 3) voxels, for every root class that occurs."""
        voxels = np.argwhere((self.classes != 0) & (self.classes != UNKNOWN_ROOT)).astype(np.int16)
        own = self.classes[tuple(voxels.T)]
        return {int(value): voxels[own == value] for value in np.unique(own)}

    @cached_property
    def skeleton(self) -> np.ndarray:
        """(S, S, Z) bool: the named roots' thickened centre lines."""
        return tubed_skeleton(np.where(self.classes == UNKNOWN_ROOT, 0, self.classes)) > 0


class StoredStacks(Sequence[TrainingStack]):
    """Stacks that lie on disk, each read when it is asked for; the last `KEPT` stay in memory."""

    def __init__(self, folder: Path):
        """Of :func:`write_stack`'s files in `folder`, by name."""
        self._files = tuple(sorted(folder.glob("*.npz")))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index):
        return _kept(self._files[index])


def write_stack(path: Path, stack: TrainingStack) -> None:
    """Write a stack as an uncompressed npz, which is read in no time."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **asdict(stack))
    write_bytes(path, stream.getvalue())


@lru_cache(maxsize=KEPT)
def _kept(path: Path) -> TrainingStack:
    with np.load(path, allow_pickle=False) as arrays:
        return TrainingStack(**{**arrays, "name": str(arrays["name"])})


def store_stacks(
    cases: list[TrainingCase],
    centrelines: Path,
    spec: InputSpec,
    target: Target,
    folder: Path,
    *,
    workers: int = 1,
) -> StoredStacks:
    """Straighten every case into `folder`; one without a label map of the target is left out.

    :param centrelines: folder of the cases' centrelines, `<name>.json`.
    :raises InputError: none is left, or a centreline is missing.
    """
    usable, _ = with_map(cases, target.scheme)
    if cases and not usable:
        raise InputError(
            cases[0].dataset.root,
            expected=f"cases with a {target.scheme} map",
            found="none",
            fix="Run `dvc repro refine`.",
        )
    jobs = [
        (case, centrelines, spec, target, folder / f"{number:06d}.npz")
        for number, case in enumerate(usable)
    ]
    each(_store, jobs, workers, "straighten", quiet=True)
    return StoredStacks(folder)


def _store(
    case: TrainingCase, centrelines: Path, spec: InputSpec, target: Target, path: Path
) -> None:
    write_stack(path, _read_stack(case, centrelines, spec, target))


def _read_stack(
    case: TrainingCase, centrelines: Path, spec: InputSpec, target: Target
) -> TrainingStack:
    line, dataset = _centreline(case, centrelines), case.dataset
    require_file(line, expected="the case's centreline", fix="Run `dvc repro centreline`.")
    classes = learned_classes(dataset, case.name, target, UNKNOWN_ROOT).data
    scan = read_image(dataset.image(case.name))
    stack, placement = network_stack(scan, Centreline.read(line), spec)
    straight = straighten(classes, placement, labels=True)
    return TrainingStack(stack.image, stack.heights, straight, case.name)


def case_files(cases: Iterable[TrainingCase], centrelines: Path, target: Target) -> list[Path]:
    """The files that the cases are read from."""
    wanted = [
        path
        for case in cases
        for path in (
            case.dataset.image(case.name),
            case.dataset.labels(case.name, target.scheme),
            case.dataset.labels(case.name, Scheme.ENTITY),
            _centreline(case, centrelines),
        )
    ]
    return [path for path in wanted if path.is_file()]


def _centreline(case: TrainingCase, centrelines: Path) -> Path:
    return centrelines / f"{case.name}.json"


def class_weights(rule: str, planned: Path, target: Target) -> tuple[float, ...] | None:
    """Cross-entropy weights of the target's classes.

    :param rule: `none`, or `balanced`: as the file `planned` of the balance plan says.
    """
    if rule == "none":
        return None
    fix = "Run `dvc repro augment`, or set hardnet.class_weights to none."
    require_file(planned, expected="the balance plan's class weights", fix=fix)
    weights = read_json(planned)[str(target.scheme)]
    return (1.0, *(float(weights.get(str(value), 1.0)) for value in target.values))
