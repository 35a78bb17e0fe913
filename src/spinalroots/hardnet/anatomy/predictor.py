"""A trained anatomy network: from a scan to tissues, all roots and their names, on its own grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spinalroots.hardnet.anatomy.classes import ROOT
from spinalroots.hardnet.anatomy.naming import BELOW
from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.hardnet.anatomy.prediction import Found, find, inputs, largest_cord
from spinalroots.hardnet.anatomy.sampling import neighbour_offsets
from spinalroots.hardnet.data.straighten import InputSpec, Placement, bend_back, plan, straighten
from spinalroots.hardnet.network.segmentation import SegmentationHardnet
from spinalroots.imaging.anchors import Anchor, vertebral_positions
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.predictor import Prediction, Runner, torch_runner, uncertainty
from spinalroots.registry.anatomy import ROOT_TISSUE, Scheme, Target
from spinalroots.settings.inference import AnatomyInference

TISSUE_OF = np.array([0, 2, 1, ROOT_TISSUE], np.uint8)
"""Stored tissue label of each class."""


@dataclass
class AnatomyPredictor:
    """Implements :class:`spinalroots.inference.predictor.Predictor`; see there.

    `neighbours`: slices on either side that the trunk sees, their distances doubling.
    """

    name: str
    whole: AnatomyNetwork
    spec: InputSpec
    neighbours: int
    inference: AnatomyInference

    @property
    def target(self) -> Target:
        """The refined levels; a root of any other name is one of `other roots`."""
        return Target(Scheme.LEVELS, other_roots=True)

    @property
    def network(self) -> SegmentationHardnet:
        """The trunk: what an export replaces."""
        return self.whole.trunk

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, S, S) of one slice with its neighbours."""
        return (2 * self.neighbours + 1, self.spec.size_vox, self.spec.size_vox)

    def inputs(self, scan: Volume, centreline: Centreline) -> Iterator[np.ndarray]:
        """The network inputs (C, S, S) float32 that the scan is cut into."""
        placement = plan(scan.grid, centreline, self.spec)
        values = straighten(scan.data.astype(np.float32, copy=False), placement)
        offsets = neighbour_offsets(self.neighbours)
        for batch in inputs(values, placement.squares.inside(), offsets, self.spec.voxel_mm):
            yield from batch

    def find(
        self,
        scan: Volume,
        centreline: Centreline,
        runner: Runner | None = None,
        anchors: Sequence[Anchor] = (),
    ) -> tuple[Found, Placement]:
        """What there is, on the straightened grid, and the way back."""
        placement = plan(scan.grid, centreline, self.spec)
        middles_mm = _middles_mm(placement, centreline)
        values = straighten(scan.data.astype(np.float32, copy=False), placement)
        found = find(
            values,
            placement.squares.inside(),
            runner or torch_runner(self.network),
            self.whole.head,
            voxel_mm=self.spec.voxel_mm,
            slice_mm=float(placement.squares.grid.spacing_mm[2]),
            neighbours=self.neighbours,
            mirroring=self.inference.mirroring,
            places=vertebral_positions(middles_mm, centreline, anchors),
        )
        return found, placement

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels, P(root), uncertainty and tissues on the scan's RAS+ grid."""
        return self.predict_anchored(scan, centreline, runner, ())

    def predict_anchored(
        self,
        scan: Volume,
        centreline: Centreline,
        runner: Runner | None,
        anchors: Sequence[Anchor],
    ) -> Prediction:
        """As :meth:`predict`, the names resting on discs that were seen."""
        found, placement = self.find(scan, centreline, runner, anchors)
        box = placement.box
        own = found.tissues[ROOT] * found.levels[1:BELOW] * (1 - found.ventral)
        chances = bend_back(np.concatenate([found.tissues[1:], own]), placement)
        tissues = np.concatenate([1 - chances[:3].sum(axis=0, keepdims=True), chances[:3]])
        classes = largest_cord(tissues)
        named = chances[3:]
        root = classes == ROOT
        rest = np.maximum(tissues[ROOT] - named.sum(axis=0), 0)
        best = named.argmax(axis=0).astype(np.uint8) + np.uint8(1)
        labels = self.target.decode(np.where(root & (named.sum(axis=0) > rest), best, np.uint8(0)))
        doubt = uncertainty(np.concatenate([1 - tissues[[ROOT]], named, rest[None]]))
        return Prediction(
            _whole(scan, labels, box),
            _whole(scan, tissues[ROOT], box),
            _whole(scan, doubt, box),
            _whole(scan, TISSUE_OF[classes], box),
            conus_mm=None if found.end is None else _middles_mm(placement, centreline)[found.end],
        )


def _middles_mm(placement: Placement, centreline: Centreline) -> np.ndarray:
    """Where the centreline crosses each slice (Z,) of the stack: (Z, 3) in RAS+ mm."""
    grid = placement.squares.grid
    return grid.to_mm(np.column_stack([centreline.in_slices(grid), np.arange(grid.shape[2])]))


def _whole(scan: Volume, part: np.ndarray, box) -> Volume:
    whole = np.zeros(scan.data.shape, part.dtype)
    whole[box] = part
    return scan.with_data(whole)
