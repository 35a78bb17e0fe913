"""A trained anatomy network: from a scan to tissues, all roots and their names, on its own grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from spinalroots.files import write_json
from spinalroots.hardnet.anatomy.classes import CORD, NAMES, ROOT
from spinalroots.hardnet.anatomy.courses import Courses
from spinalroots.hardnet.anatomy.extents import Extents
from spinalroots.hardnet.anatomy.naming import BELOW
from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.hardnet.anatomy.positions import Ends, coordinates, ends
from spinalroots.hardnet.anatomy.prediction import (
    Names,
    drawn_tissues,
    find_names,
    find_tissues,
    inputs,
    largest_cord,
)
from spinalroots.hardnet.anatomy.sampling import neighbour_offsets
from spinalroots.hardnet.data.straighten import InputSpec, Placement, bend_back, plan, straighten
from spinalroots.hardnet.network.segmentation import SegmentationHardnet
from spinalroots.imaging.anchors import Anchor, vertebral_positions
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Box, Volume
from spinalroots.inference.doubt import Temperatures, name_chances, root_chance
from spinalroots.inference.drawing import UNLIKELY, drawn_names, likeliest_names
from spinalroots.inference.predictor import Prediction, Runner, torch_runner
from spinalroots.inference.stored import FORMAT, load_network, read_description, save_weights
from spinalroots.registry.anatomy import ROOT_TISSUE, Scheme, Target
from spinalroots.settings.anatomy import Squares
from spinalroots.settings.inference import AnatomyInference

TISSUE_OF = np.array([0, 2, 1, ROOT_TISSUE], np.uint8)
"""Stored tissue label of each class."""


@dataclass(frozen=True)
class Chances:
    """Probabilities of a scan's voxels within `box`: of `tissues` (classes, ...), and of `roots`
    (names + 1, ...) under each name, the last under none; `conus_mm` as in a prediction."""

    tissues: np.ndarray
    roots: np.ndarray
    box: Box
    conus_mm: np.ndarray | None


@dataclass
class AnatomyPredictor:
    """Implements :class:`spinalroots.inference.predictor.Predictor`; see there.

    `whole`: eval mode; `squares`: what it sees; `inference`: how a scan is segmented; `extents`:
    how high each level runs, if it was learnt; `temperatures`: that make chances frequencies.
    """

    name: str
    whole: AnatomyNetwork
    squares: Squares
    inference: AnatomyInference
    extents: Extents | None = None
    temperatures: Temperatures = field(default_factory=Temperatures)

    @property
    def target(self) -> Target:
        """The refined levels; a root of any other name is one of `other roots`."""
        return Target(Scheme.LEVELS, other_roots=True)

    @property
    def network(self) -> SegmentationHardnet:
        """The one that sees tissues: what an export replaces."""
        return self.whole.tissues

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, S, S) of one slice with its neighbours."""
        return (2 * self.squares.neighbours + 1, self.squares.size_vox, self.squares.size_vox)

    @property
    def spec(self) -> InputSpec:
        """The squares of a prediction."""
        voxel_mm = self.inference.voxel_mm
        return InputSpec(self.squares.size_vox * voxel_mm, voxel_mm, self.squares.slice_mm)

    def inputs(self, scan: Volume, centreline: Centreline) -> Iterator[np.ndarray]:
        """The network inputs (C, S, S) float32 that the scan is cut into."""
        placement = plan(scan.grid, centreline, self.spec)
        values = straighten(scan.data.astype(np.float32, copy=False), placement)
        offsets = neighbour_offsets(self.squares.neighbours)
        for batch in inputs(values, placement.squares.inside(), offsets, self.spec.voxel_mm):
            yield from batch

    def find_tissues(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> tuple[np.ndarray, Placement]:
        """Chances (classes, S, S, Z) on the straightened grid, and the way back."""
        placement = plan(scan.grid, centreline, self.spec)
        found = find_tissues(
            straighten(scan.data.astype(np.float32, copy=False), placement),
            placement.squares.inside(),
            runner or torch_runner(self.network),
            voxel_mm=self.inference.voxel_mm,
            neighbours=self.squares.neighbours,
            mirroring=self.inference.mirroring,
        )
        return found, placement

    def find_names(
        self, tissues: np.ndarray, found: Ends, places: np.ndarray | None = None
    ) -> Names:
        """Names of the roots among `tissues`, whose cord ends as `found` says.

        :param places: (Z,) vertebral positions, where anchors tell.
        """
        slice_mm, window = self.squares.slice_mm, self.inference
        return find_names(
            tissues,
            self.whole.names,
            coordinates(found, tissues.shape[-1], slice_mm, places),
            neighbours=self.squares.naming_neighbours,
            window=(window.across_mm / window.voxel_mm, window.along_mm / slice_mm),
            courses=self._courses(),
        )

    def _courses(self) -> Courses | None:
        own = self.inference
        if not own.course_mm:
            return None
        extents = self.extents if own.extent_mm else None
        return Courses(own.course_mm, own.voxel_mm, self.squares.slice_mm, extents, own.extent_mm)

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels, P(root), P(name) and tissues on the scan's RAS+ grid."""
        return self.predict_anchored(scan, centreline, runner, ())

    def predict_anchored(
        self,
        scan: Volume,
        centreline: Centreline,
        runner: Runner | None,
        anchors: Sequence[Anchor],
    ) -> Prediction:
        """As :meth:`predict`, with names that rest on discs that were seen."""
        found = self.chances(scan, centreline, runner, anchors)
        parts = self._drawn(found)
        volumes = (_whole(scan, part, found.box) for part in parts)
        return Prediction(*volumes, conus_mm=found.conus_mm)

    def _drawn(self, found: Chances) -> tuple[np.ndarray, ...]:
        """Labels, P(root), P(name) and tissues within the box."""
        chance = root_chance(found.tissues[ROOT], self.temperatures.root)
        asked = chance >= UNLIKELY
        roots = found.roots[:, asked]
        of_names = name_chances(roots, self.temperatures.name)
        if self.inference.naming == "dice":
            names = drawn_names(roots, of_names[:-1] * chance[asked])
        else:
            names = likeliest_names(roots)
        cord = found.tissues[CORD] >= self.inference.cord_cut
        classes = drawn_tissues(found.tissues, chance >= self.inference.root_cut, cord)
        seen = classes == ROOT
        labels, sure = np.zeros(chance.shape, np.uint8), np.zeros(chance.shape, np.float32)
        labels[asked] = self.target.decode(names)
        # Of a root without a name, the chance of that: the last row.
        sure[asked] = of_names[names.astype(int) - 1, np.arange(len(names))]
        return labels * seen, chance, sure * seen, TISSUE_OF[classes]

    def chances(
        self,
        scan: Volume,
        centreline: Centreline,
        runner: Runner | None = None,
        anchors: Sequence[Anchor] = (),
    ) -> Chances:
        """What either network gives, on the scan's own grid."""
        seen, placement = self.find_tissues(scan, centreline, runner)
        middles = _middles(placement, centreline)
        found = ends(largest_cord(seen), self.inference.voxel_mm)
        places = vertebral_positions(middles, centreline, anchors) if anchors else None
        # Whoever gives a disc wants names to rest on it, wherever this person's cord may end.
        names = self.find_names(seen, (None, None) if anchors else found, places)
        own = seen[ROOT] * names.levels[1:BELOW] * (1 - names.ventral)
        chances = bend_back(np.concatenate([seen[1:], own]), placement)
        tissues, named = chances[: len(NAMES) - 1], chances[len(NAMES) - 1 :]
        tissues = np.concatenate([1 - tissues.sum(axis=0, keepdims=True), tissues])
        rest = np.maximum(tissues[ROOT] - named.sum(axis=0), 0)
        end = None if found[-1] is None else middles[found[-1]]
        return Chances(tissues, np.concatenate([named, rest[None]]), placement.box, end)

    def name_roots(self, roots: Volume, scan: Volume, centreline: Centreline) -> Volume:
        """Level map of the dorsal ones among `roots` (X, Y, Z) that another network has found.

        Where this network sees no root, the nearest name that it gives counts. What lies outside
        the sac that it sees, or is ventral by its word, is left out.
        """
        tissues, placement = self.find_tissues(scan, centreline)
        names = self.find_names(tissues, ends(largest_cord(tissues), self.inference.voxel_mm))
        root = tissues[ROOT]
        seen = np.concatenate(
            [root * names.levels[1:BELOW], (root * names.ventral)[None], tissues[1:]]
        )
        seen = bend_back(seen, placement)
        levels, ventral, sac = seen[: BELOW - 1], seen[BELOW - 1], seen[BELOW:].sum(axis=0) > 0.5
        chance = seen[BELOW - 1 + ROOT]
        named = np.argwhere(levels.max(axis=0) > 0)
        labels = np.zeros(roots.data.shape, np.uint8)
        away_mm = distance_transform_edt(~sac, sampling=scan.spacing_mm)
        asked = np.argwhere((roots.data[placement.box] > 0) & (away_mm <= self.inference.reach_mm))
        if len(named) and len(asked):
            _, nearest = KDTree(named * scan.spacing_mm).query(asked * scan.spacing_mm)
            there = tuple(named[nearest].T)
            best = levels[:, *there].argmax(axis=0).astype(np.uint8) + np.uint8(1)
            dorsal = ventral[there] < 0.5 * chance[there]
            labels[placement.box][tuple(asked.T)] = self.target.decode(best) * dorsal
        return roots.with_data(labels)

    def save(self, folder: Path, **more) -> None:
        """Write model.safetensors and model.json, which carries every number that a prediction
        takes; `more` is added to the latter as it is."""
        save_weights(self.whole, Path(folder) / "model.safetensors")
        write_json(
            Path(folder) / "model.json",
            {
                "family": "anatomy",
                "format": FORMAT,
                "name": self.name,
                "target": self.target.as_dict(),
                "classes": list(self.target.class_names),
                "parameters": sum(p.numel() for p in self.whole.parameters()),
                "input": self.squares.model_dump(mode="json"),
                "extents": self.extents and self.extents.model_dump(mode="json"),
                "temperatures": self.temperatures.model_dump(mode="json"),
                **more,
            },
        )

    @classmethod
    def of(
        cls,
        network: AnatomyNetwork,
        squares: Squares,
        inference: AnatomyInference,
        name: str,
        extents: Extents | None = None,
    ) -> AnatomyPredictor:
        """A network as it was trained; `squares` may know more than that."""
        seen = {key: getattr(squares, key) for key in Squares.model_fields}
        return cls(name, network, Squares(**seen), inference, extents)

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", inference: AnatomyInference | None = None
    ) -> AnatomyPredictor:
        """Read what :meth:`save` wrote.

        :param inference: how to segment; None: as model.json says under `inference`.
        :raises InputError: the weights are missing or belong to another network, or model.json is
            of another format.
        """
        record = read_description(folder, "an anatomy network")
        squares = Squares.model_validate(record["input"])
        extents = record.get("extents")  # one that was trained before has none
        network = load_network(lambda: AnatomyNetwork(squares), Path(folder) / "model.safetensors")
        return cls(
            record["name"],
            network.to(torch.device(device)).eval(),
            squares,
            inference or AnatomyInference.model_validate(record["inference"]),
            extents and Extents.model_validate(extents),
            Temperatures.model_validate(record.get("temperatures", {})),
        )


def _middles(placement: Placement, centreline: Centreline) -> np.ndarray:
    """Where the centreline crosses the squares, RAS+ mm (Z, 3)."""
    grid = placement.squares.grid
    crossings = centreline.in_slices(grid)
    return grid.to_mm(np.column_stack([crossings, np.arange(len(crossings))]))


def _whole(scan: Volume, part: np.ndarray, box: Box) -> Volume:
    whole = np.zeros(scan.data.shape, part.dtype)
    whole[box] = part
    return scan.with_data(whole)
