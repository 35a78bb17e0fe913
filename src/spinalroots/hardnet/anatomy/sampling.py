"""Straightened slices of many cases in one table on disk, and samples drawn from it."""

import io
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from spinalroots.files import read_json, write_bytes, write_json

UNIT = 100
"""Grey value of CSF in stored slices; noise is coarser than one part of it."""


class Stack(NamedTuple):
    """A case's straightened slices.

    `image` (S, S, Z) uint8: CSF at about UNIT. `anatomy` (S, S, Z): values of :mod:`.classes`.
    `roots` (S, S, Z): label value of the root, 0 for none. `inside` (S, S, Z): not padding.
    `coordinates` (3, Z): see :mod:`.positions`.
    """

    image: np.ndarray
    anatomy: np.ndarray
    roots: np.ndarray
    inside: np.ndarray
    coordinates: np.ndarray


class Rows:
    """Rows of equal size in a file, read when they are asked for; the file may be gone by then."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]):
        """`dtype` and `shape` of one row."""
        self._file = path.open("rb", buffering=0)
        self._dtype, self._shape = dtype, shape
        self._bytes = int(dtype.itemsize * np.prod(shape))
        self._count = path.stat().st_size // self._bytes

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The rows of the numbers `rows`, of any shape: (*rows.shape, *shape)."""
        found = np.empty((rows.size, *self._shape), self._dtype)
        for place, row in zip(found.view(np.uint8), rows.ravel().tolist(), strict=True):
            os.preadv(self._file.fileno(), [place], row * self._bytes)
        return found.reshape(*rows.shape, *self._shape)


@dataclass(frozen=True)
class Slices:
    """Slices (N, S, S) of all cases, one case after the other, as in :class:`Stack`; in memory are
    only `coordinates` (N, 3), and `first` and `last` (N,), the rows between which a slice's own
    case lies."""

    image: Rows
    anatomy: Rows
    roots: Rows
    inside: Rows
    coordinates: np.ndarray
    first: np.ndarray
    last: np.ndarray


@dataclass(frozen=True)
class Samples:
    """A batch: `image` (B, C, S, S) float32, `anatomy` and `roots` (B, C, S, S) uint8 of the same
    slices; of the middle one `inside` (B, 1, S, S) bool and `coordinates` (B, 3)."""

    image: torch.Tensor
    anatomy: torch.Tensor
    roots: torch.Tensor
    inside: torch.Tensor
    coordinates: torch.Tensor


def gather(stacks: Iterable[Stack], folder: Path) -> Slices:
    """Several cases, one after the other, as files of rows in the empty folder `folder`: memory
    holds one case at a time."""
    counts, coordinates = [], []
    columns, kinds = Stack._fields[:-1], {}
    with ExitStack() as files:
        streams = {name: files.enter_context((folder / name).open("wb")) for name in columns}
        for stack in stacks:
            for name, stream in streams.items():
                slices = np.ascontiguousarray(np.moveaxis(getattr(stack, name), -1, 0))
                kinds[name] = {"dtype": slices.dtype.str, "shape": slices.shape[1:]}
                stream.write(slices.data)
            counts.append(stack.image.shape[2])
            coordinates.append(stack.coordinates.T)
    ends = np.cumsum(counts)
    first, last = np.repeat(ends - counts, counts), np.repeat(ends - 1, counts)
    np.savez(folder / _PLACES, coordinates=np.concatenate(coordinates), first=first, last=last)
    write_json(folder / _KINDS, kinds)
    return open_slices(folder)


def open_slices(folder: Path) -> Slices:
    """What :func:`gather` made; nothing is unpickled."""
    columns = {
        name: Rows(folder / name, np.dtype(kind["dtype"]), tuple(kind["shape"]))
        for name, kind in read_json(folder / _KINDS).items()
    }
    with np.load(folder / _PLACES, allow_pickle=False) as arrays:
        return Slices(**columns, **arrays)


_PLACES, _KINDS = "places.npz", "kinds.json"


def write_stack(path: Path, stack: Stack) -> None:
    """Write a case as a compressed npz; :func:`read_stack` reads it."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **stack._asdict())
    write_bytes(path, stream.getvalue())


def read_stack(path: Path) -> Stack:
    """What :func:`write_stack` wrote; nothing is unpickled."""
    with np.load(path, allow_pickle=False) as arrays:
        return Stack(**arrays)


def draw_rows(
    slices: Slices, batch: int, neighbours: int, stretch_log: float, rng: np.random.Generator
) -> np.ndarray:
    """Rows (B, 2 neighbours + 1) of as many samples: a slice and those around it, see
    :func:`spinalroots.hardnet.data.channels.neighbour_slices`, their distances
    stretched by a factor within exp(± `stretch_log`)."""
    middle = rng.integers(len(slices.image), size=batch)[:, None]
    stretch = np.exp(rng.uniform(-stretch_log, stretch_log, (batch, 1)))
    rows = middle + np.rint(neighbour_offsets(neighbours) * stretch).astype(int)
    return np.clip(rows, slices.first[middle], slices.last[middle])


def take(slices: Slices, rows: np.ndarray) -> Samples:
    """The samples whose slices are `rows` (B, C)."""
    middle = rows[:, rows.shape[1] // 2]
    return Samples(
        torch.from_numpy(slices.image[rows].astype(np.float32) / UNIT),
        torch.from_numpy(slices.anatomy[rows]),
        torch.from_numpy(slices.roots[rows]),
        torch.from_numpy(slices.inside[middle][:, None]),
        torch.from_numpy(slices.coordinates[middle]),
    )


def neighbour_offsets(neighbours: int) -> np.ndarray:
    """Distances in slices of a sample's channels from its middle.

    >>> neighbour_offsets(3).tolist()
    [-4, -2, -1, 0, 1, 2, 4]
    """
    steps = 2 ** np.arange(neighbours)
    return np.concatenate([-steps[::-1], [0], steps])
