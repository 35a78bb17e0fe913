"""A case's scan and map in memory, cut to what the page shows."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.expert.predictions import version_of
from spinalroots.imaging.boxes import bounding_box
from spinalroots.imaging.volume import Box, Volume, read_labels, require_same_grid
from spinalroots.registry.anatomy import label_names
from spinalroots.review.cases import Case

MARGIN_MM = 20.0
"""Around the labels in the slices' plane; along the spine everything is shown."""
IN_MEMORY = 3


@dataclass(frozen=True)
class Maps:
    """`labels`: the prediction as it is on disk, whole, RAS+. `box`: what the page gets of it.
    `version`: of :mod:`spinalroots.expert.predictions`."""

    labels: Volume
    box: Box
    version: str

    def shown(self, data: np.ndarray) -> np.ndarray:
        """The part of (X, Y, Z) that the page shows."""
        return np.ascontiguousarray(data[self.box])

    def to_whole(self, voxels: np.ndarray) -> np.ndarray:
        """Numbers of voxels in the whole map, of numbers in the part; first axis fastest.

        A number that is not in the part becomes -1.
        """
        part, shape = self.shown(self.labels.data).shape, self.labels.data.shape
        voxels = np.asarray(voxels, np.int64)
        inside = (voxels >= 0) & (voxels < np.prod(part))
        places = np.unravel_index(np.where(inside, voxels, 0), part, order="F")
        moved = [place + side.start for place, side in zip(places, self.box, strict=True)]
        return np.where(inside, np.ravel_multi_index(moved, shape, order="F"), -1)


class Shelf:
    """The maps of the cases that were looked at last; read anew when a file changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[Path, tuple[tuple, Maps]] = OrderedDict()
        self._versions: dict[Path, tuple[tuple, str]] = {}

    def maps(self, case: Case) -> Maps:
        """The case's map.

        :raises InputError: it cannot be read.
        """
        stamp = _stamp(case.mask)
        with self._lock:
            held = self._held.get(case.mask)
            if held and held[0] == stamp:
                self._held.move_to_end(case.mask)
                return held[1]
        labels = read_labels(case.mask, set(label_names(case.scheme)))
        maps = Maps(labels, _box(labels), self.version(case))
        with self._lock:
            self._held[case.mask] = stamp, maps
            while len(self._held) > IN_MEMORY:
                self._held.popitem(last=False)
        return maps

    def version(self, case: Case) -> str:
        """The version of the prediction as it is on disk."""
        stamp = _stamp(case.mask)
        known = self._versions.get(case.mask)
        if not known or known[0] != stamp:
            known = self._versions[case.mask] = stamp, version_of(case.mask)
        return known[1]

    def scan(self, case: Case) -> Volume:
        """What the page shows of the scan.

        :raises InputError: it cannot be read, or lies on another grid than the map.
        """
        maps, (scan, _) = self.maps(case), case.scan.read(case.orientation)
        require_same_grid(case.mask, maps.labels, case.scan.path, scan)
        return scan.crop(maps.box)


def _stamp(path: Path) -> tuple:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _box(labels: Volume) -> Box:
    margin = np.ceil(MARGIN_MM / labels.spacing_mm).astype(int)
    found = bounding_box(labels.data > 0, margin)
    whole = tuple(slice(0, length) for length in labels.data.shape)
    return whole if found is None else (*found[:2], whole[2])
