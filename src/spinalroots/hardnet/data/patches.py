"""Straightened training cases, and patches drawn from them.

Drawing (:func:`draw_patch`) and cutting (:func:`take_patch`) are two functions; sample `i` of
epoch `e` is drawn from the seed (seed, e, i) alone, so that a resumed training sees the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from spinalroots.dataset.layout import Dataset
from spinalroots.hardnet.data.augmentation import augmented
from spinalroots.hardnet.data.straighten import InputSpec, Stack, network_stack, straighten
from spinalroots.hardnet.training.losses import UNKNOWN_ROOT
from spinalroots.hardnet.windows import neighbour_slices, with_height
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.losses.truth import tubed_skeleton
from spinalroots.registry.anatomy import Scheme, Target

if TYPE_CHECKING:
    from spinalroots.settings.augment import Transforms

HEIGHT_SHIFT = 0.05
"""Augmentation moves the heights by up to this much (5 mm): the conus is only found so well."""


@dataclass(frozen=True)
class Case:
    """A straightened case: its stack, and `classes` (S, S, Z) uint8 of the target."""

    name: str
    stack: Stack
    classes: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """Normalised grey values (S, S, Z) float32."""
        return self.stack.image

    @cached_property
    def root_voxels(self) -> dict[int, np.ndarray]:
        """Class → (N, 3) voxels, for every root class that occurs."""
        return {
            int(value): np.argwhere(self.classes == value).astype(np.int16)
            for value in np.unique(self.classes)
            if value
        }

    @cached_property
    def skeleton(self) -> np.ndarray:
        """(S, S, Z) bool: the roots' thickened centre lines."""
        return tubed_skeleton(self.classes) > 0


def read_case(
    dataset: Dataset, name: str, centreline: Centreline, spec: InputSpec, target: Target
) -> Case:
    """Read and straighten an annotated case.

    Roots of the entity mask that carry no label of the target become `UNKNOWN_ROOT`.
    """
    scan = read_image(dataset.image(name))
    labels = read_labels(dataset.labels(name, target.scheme)).data
    classes = target.encode(labels)
    if target.scheme is not Scheme.ENTITY and dataset.has(name, Scheme.ENTITY):
        entity = read_labels(dataset.labels(name, Scheme.ENTITY)).data > 0
        classes[entity & (labels == 0)] = UNKNOWN_ROOT
    stack, placement = network_stack(scan, centreline, spec)
    return Case(name, stack, straighten(classes, placement, labels=True))


@dataclass(frozen=True)
class PatchShape:
    """`in_plane` P and `slices` D of a 3D patch; for a 2D network D is 1 and `neighbours` slices on
    either side become channels (:func:`~spinalroots.hardnet.windows.neighbour_slices`)."""

    dim: int
    in_plane: int
    slices: int
    neighbours: int = 0
    height: bool = False

    @property
    def slices_seen(self) -> int:
        """Channels that are grey values."""
        return 1 if self.dim == 3 else 2 * self.neighbours + 1

    @property
    def channels(self) -> int:
        """Input channels of the network; the last one is the height, if it is asked for."""
        return self.slices_seen + self.height

    @property
    def extent(self) -> tuple[int, int, int]:
        """Voxels (P, P, D) that carry labels."""
        return (self.in_plane, self.in_plane, self.slices if self.dim == 3 else 1)

    @property
    def voxels(self) -> int:
        """Labelled voxels of one patch."""
        return int(np.prod(self.extent))


def draw_patch(case: Case, shape: PatchShape, rng: np.random.Generator, foreground: float):
    """First voxel (3,) of a patch; with chance `foreground` it holds a root.

    The root's class is drawn evenly, not voxels: small roots are seen as often as thick ones.
    """
    size, extent = np.array(case.classes.shape), np.array(shape.extent)
    lowest, highest = np.minimum(0, size - extent), np.maximum(0, size - extent)
    start = rng.integers(lowest, highest + 1)
    if case.root_voxels and rng.random() < foreground:
        voxels = case.root_voxels[list(case.root_voxels)[rng.integers(len(case.root_voxels))]]
        voxel = voxels[rng.integers(len(voxels))]
        start = voxel - rng.integers(0, extent)
    return np.clip(start, lowest, highest)


def take_patch(case: Case, shape: PatchShape, start: np.ndarray, *, skeleton: bool = False):
    """Grey values (C, *spatial), classes and skeleton (*spatial) or None of the patch at `start`.

    Beyond the case the image is 0 and the class background; neighbours repeat the end slices.
    """
    extent = np.array(shape.extent)
    if shape.dim == 3:
        image = _window(case.image, start, extent)[None]
        classes = _window(case.classes, start, extent)
        tube = _window(case.skeleton, start, extent) if skeleton else None
        return image, classes, tube
    seen = neighbour_slices(start[2], shape.neighbours, case.image.shape[2])
    plane = (*extent[:2], shape.slices_seen)
    image = _window(case.image[:, :, seen], (*start[:2], 0), plane).transpose(2, 0, 1)
    classes = _window(case.classes, start, extent)[..., 0]
    tube = _window(case.skeleton, start, extent)[..., 0] if skeleton else None
    return image, classes, tube


def _window(data: np.ndarray, start, extent) -> np.ndarray:
    """`data` from `start` over `extent`, zeros where it leaves the array."""
    window = np.zeros(tuple(extent), data.dtype)
    here, there = [], []
    for low, length, size in zip(start, extent, data.shape, strict=True):
        first, last = max(int(low), 0), min(int(low) + int(length), size)
        there.append(slice(first, max(first, last)))
        here.append(slice(first - int(low), max(first, last) - int(low)))
    window[tuple(here)] = data[tuple(there)]
    return window


class Patches(TorchDataset):
    """The patches of one epoch; every sample depends on (seed, epoch, index) alone."""

    def __init__(
        self,
        cases: list[Case],
        shape: PatchShape,
        *,
        samples: int,
        epoch: int,
        seed: int,
        foreground: float,
        augmentation: Transforms | None = None,
        spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
        skeleton: bool = False,
    ):
        self.cases, self.shape, self.samples, self.epoch = cases, shape, samples, epoch
        self.seed, self.foreground = seed, foreground
        self.augmentation, self.spacing_mm, self.skeleton = augmentation, spacing_mm, skeleton

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        case = self.cases[rng.integers(len(self.cases))]
        start = draw_patch(case, self.shape, rng, self.foreground)
        image, classes, tube = take_patch(case, self.shape, start, skeleton=self.skeleton)
        maps = [classes] if tube is None else [classes, tube]
        shift = 0.0
        if self.augmentation is not None:
            shift = rng.uniform(-HEIGHT_SHIFT, HEIGHT_SHIFT)
            image, maps = self._augmented(image, maps, rng)
        if self.shape.height:
            depth = self.shape.extent[2]
            image = with_height(image, case.stack.heights + shift, start[2], depth)
        names = ("image", "classes", "skeleton")
        return {
            name: torch.from_numpy(np.ascontiguousarray(array))
            for name, array in zip(names, (image, *maps), strict=False)
        }

    def _augmented(self, image: np.ndarray, maps: list[np.ndarray], rng: np.random.Generator):
        """The channels of a 2D patch are its slices, as far apart as they are on average."""
        if self.shape.dim == 3:
            volume, maps = augmented(self.augmentation, rng, image[0], maps, self.spacing_mm)
            return volume[None], maps
        apart = (2**self.shape.neighbours - 1) / max(1, self.shape.neighbours)
        spacing_mm = (*self.spacing_mm[:2], self.spacing_mm[2] * max(1.0, apart))
        stack = np.moveaxis(image, 0, 2)
        stack, maps = augmented(self.augmentation, rng, stack, maps, spacing_mm)
        return np.moveaxis(stack, 2, 0), maps
