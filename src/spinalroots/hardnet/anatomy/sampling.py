"""Straightened slices of many cases in one table, and samples drawn from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

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


@dataclass(frozen=True)
class Slices:
    """Slices (N, S, S) of all cases, one case after the other; arrays as in :class:`Stack`.

    `first`, `last` (N,): the rows between which a slice's own case lies.
    """

    image: np.ndarray
    anatomy: np.ndarray
    roots: np.ndarray
    inside: np.ndarray
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


def gather(stacks: list[Stack]) -> Slices:
    """One table of several cases."""
    ends = np.cumsum([stack.image.shape[2] for stack in stacks])
    counts = np.diff(ends, prepend=0)
    columns = {
        name: np.concatenate([np.moveaxis(getattr(one, name), -1, 0) for one in stacks])
        for name in Stack._fields
    }
    return Slices(
        **columns, first=np.repeat(ends - counts, counts), last=np.repeat(ends - 1, counts)
    )


def write_slices(path: Path, slices: Slices) -> None:
    """Write them as a compressed npz; :func:`read_slices` reads it."""
    np.savez_compressed(path, **vars(slices))


def read_slices(path: Path) -> Slices:
    """What :func:`write_slices` wrote; nothing is unpickled."""
    with np.load(path, allow_pickle=False) as arrays:
        return Slices(**arrays)


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
