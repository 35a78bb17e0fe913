"""Patches drawn from straightened training cases.

Drawing (:func:`draw_patch`) and cutting (:func:`take_patch`) are two functions; sample `i` of
epoch `e` is drawn from the seed (seed, e, i) alone, so that a resumed training sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from spinalroots.hardnet.data.augmentation import augmented
from spinalroots.hardnet.data.channels import neighbour_slices, with_height
from spinalroots.hardnet.data.stacks import TrainingStack

if TYPE_CHECKING:
    from spinalroots.hardnet.data.drawing import Draws
    from spinalroots.settings.augment import Transforms

HEIGHT_SHIFT = 0.05
"""Augmentation moves the heights by up to this much (5 mm): the conus is only found so well."""


@dataclass(frozen=True)
class PatchShape:
    """`in_plane` P and `slices` D of a 3D patch; for a 2D network D is 1 and `neighbours` slices on
    either side become channels (:func:`~spinalroots.hardnet.data.channels.neighbour_slices`)."""

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


def draw_patch(
    stack: TrainingStack, shape: PatchShape, rng: np.random.Generator, root: int | None = None
) -> np.ndarray:
    """First voxel (3,) of a patch: anywhere in the stack, or so that it holds a voxel of `root`."""
    size, extent = np.array(stack.classes.shape), np.array(shape.extent)
    lowest, highest = np.minimum(0, size - extent), np.maximum(0, size - extent)
    if root is None:
        return rng.integers(lowest, highest + 1)
    voxels = stack.root_voxels[root]
    start = voxels[rng.integers(len(voxels))] - rng.integers(0, extent)
    return np.clip(start, lowest, highest)


def take_patch(
    stack: TrainingStack, shape: PatchShape, start: np.ndarray, *, skeleton: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Grey values (C, *spatial), classes and skeleton (*spatial) or None of the patch at `start`.

    Beyond the stack the image is 0 and the class background; neighbours repeat the end slices.
    """
    extent = np.array(shape.extent)
    if shape.dim == 3:
        image = _window(stack.image, start, extent)[None]
        classes = _window(stack.classes, start, extent)
        tube = _window(stack.skeleton, start, extent) if skeleton else None
        return image, classes, tube
    seen = neighbour_slices(start[2], shape.neighbours, stack.image.shape[2])
    plane = (*extent[:2], shape.slices_seen)
    image = _window(stack.image[:, :, seen], (*start[:2], 0), plane).transpose(2, 0, 1)
    classes = _window(stack.classes, start, extent)[..., 0]
    tube = _window(stack.skeleton, start, extent)[..., 0] if skeleton else None
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


@dataclass(frozen=True, eq=False)
class Patches(TorchDataset):
    """The patches of one epoch; every sample depends on (seed, epoch, index) alone."""

    stacks: Sequence[TrainingStack]
    shape: PatchShape
    _: KW_ONLY
    samples: int
    epoch: int
    seed: int
    foreground: float
    draws: Draws
    augmentation: Transforms | None = None
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    skeleton: bool = False

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        stack, start = self.draws(self.stacks, self.shape, rng, self.foreground)
        image, classes, tube = take_patch(stack, self.shape, start, skeleton=self.skeleton)
        maps = [classes] if tube is None else [classes, tube]
        shift = 0.0
        if self.augmentation is not None:
            shift = rng.uniform(-HEIGHT_SHIFT, HEIGHT_SHIFT)
            image, maps = self._augmented(self.augmentation, image, maps, rng)
        if self.shape.height:
            depth = self.shape.extent[2]
            image = with_height(image, stack.heights + shift, start[2], depth)
        names = ("image", "classes", "skeleton")
        return {
            name: torch.from_numpy(np.ascontiguousarray(array))
            for name, array in zip(names, (image, *maps), strict=False)
        }

    def _augmented(
        self,
        limits: Transforms,
        image: np.ndarray,
        maps: list[np.ndarray],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The channels of a 2D patch are its slices, as far apart as they are on average."""
        if self.shape.dim == 3:
            volume, maps = augmented(limits, rng, image[0], maps, self.spacing_mm)
            return volume[None], maps
        apart = (2**self.shape.neighbours - 1) / max(1, self.shape.neighbours)
        spacing_mm = (*self.spacing_mm[:2], self.spacing_mm[2] * max(1.0, apart))
        stack = np.moveaxis(image, 0, 2)
        stack, maps = augmented(limits, rng, stack, maps, spacing_mm)
        return np.moveaxis(stack, 2, 0), maps
