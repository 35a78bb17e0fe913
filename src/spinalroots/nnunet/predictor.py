"""A trained nnU-Net on a whole scan: box around the centreline, sliding window, labels on its grid.

nnU-Net's own preprocessing, tiling, Gaussian weights and resampling are used; no mirroring at test
time. nnU-Net's arrays run (C, Z, Y, X), the project's (X, Y, Z): one transposition each way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.special import softmax

from spinalroots.files import read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.decoding import decode, uncertainty
from spinalroots.inference.predictor import Prediction, Runner, torch_runner
from spinalroots.nnunet.network import build_network, load_weights
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import NnunetInference

CERTAIN = 30.0
"""Logit of the background where the network was not asked."""


def box_around(
    centreline: Centreline, scan: Volume, margin_mm: float
) -> tuple[slice, slice, slice]:
    """Box of the scan's voxels within `margin_mm`, in-plane, of the curve; all of its height."""
    shape, affine = np.array(scan.data.shape), scan.affine
    middle = (shape - 1) / 2
    heights = np.stack([np.full(shape[2], middle[0]), np.full(shape[2], middle[1])], axis=1)
    voxels = np.column_stack([heights, np.arange(shape[2])])
    superior_mm = voxels @ affine[2, :3] + affine[2, 3]
    points = centreline.at_height(superior_mm)
    inside = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    margin = margin_mm / scan.spacing_mm[:2]
    low = np.clip(np.floor(inside[:, :2].min(axis=0) - margin), 0, shape[:2] - 2).astype(int)
    high = np.clip(np.ceil(inside[:, :2].max(axis=0) + margin) + 1, low + 2, shape[:2]).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(0, int(shape[2]))


def near(centreline: Centreline, part: Volume, margin_mm: float) -> np.ndarray:
    """Voxels (X, Y, Z) of `part` within `margin_mm` of the curve in their axial plane (bool)."""
    shape, affine = part.data.shape, part.affine
    index = np.meshgrid(*[np.arange(size, dtype=np.float32) for size in shape], indexing="ij")
    x, y, z = (
        sum(affine[row, axis] * index[axis] for axis in range(3)) + affine[row, 3]
        for row in range(3)
    )
    points = centreline.at_height(z)
    return (points[..., 0] - x) ** 2 + (points[..., 1] - y) ** 2 <= margin_mm**2


@dataclass
class NnunetPredictor:
    """Implements :class:`spinalroots.inference.predictor.Predictor`."""

    name: str
    target: Target
    network: torch.nn.Module
    plans: dict
    dataset_json: dict
    configuration: str
    inference: NnunetInference

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", inference: NnunetInference | None = None
    ) -> NnunetPredictor:
        """The model published in `folder`; its weights are safetensors, nothing is unpickled.

        :param inference: how to segment; None takes what the model was published with.
        """
        record = read_json(Path(folder) / "model.json")
        network = build_network(
            record["plans"],
            record["configuration"],
            len(record["dataset_json"]["labels"]),
            record["folds"],
        )
        load_weights(network, Path(folder) / "model.safetensors")
        return cls(
            record["name"],
            Target.from_dict(record["target"]),
            network.eval().to(device),
            record["plans"],
            record["dataset_json"],
            record["configuration"],
            inference or NnunetInference.model_validate(record["inference"]),
        )

    def untrained(self, seed: int) -> NnunetPredictor:
        """The same with a network as it was before any training: what learning is held against."""
        torch.manual_seed(seed)
        classes = len(self.dataset_json["labels"])
        network = build_network(self.plans, self.configuration, classes)
        return replace(self, network=network.eval().to(next(self.network.parameters()).device))

    def __post_init__(self):
        self.manager = PlansManager(self.plans)
        self.chosen = self.manager.get_configuration(self.configuration)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, *patch) in nnU-Net's axes."""
        return (1, *(int(size) for size in self.chosen.patch_size))

    def inputs(self, scan: Volume, centreline: Centreline) -> Iterator[np.ndarray]:
        """The tiles (1, *patch) float32 of the scan, in the order of the sliding window."""
        box = box_around(centreline, scan, self.inference.margin_mm)
        data, properties, _ = self._preprocess(scan, box)
        tube = self._tube(scan, box, centreline, data.shape[1:], properties)
        data, _ = self._padded(data)
        for tile in self._tiles(self._padded(tube[None])[0][0]):
            yield np.ascontiguousarray(data[(slice(None), *tile)])

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels, P(root) and uncertainty on the scan's RAS+ grid; `runner` replaces the net."""
        box = box_around(centreline, scan, self.inference.margin_mm)
        data, properties, shape = self._preprocess(scan, box)
        tube = self._tube(scan, box, centreline, data.shape[1:], properties)
        logits = self._slide(data, tube, runner or torch_runner(self.network))
        probabilities = softmax(self._resampled(logits, properties), axis=0)
        labels = np.zeros(scan.data.shape, np.uint8)
        foreground = np.zeros(scan.data.shape, np.float32)
        own = slice(1, len(self.target.values) + 1)
        decoded = decode(probabilities, self.target, self.inference.decoding)
        labels[box] = self._restored(decoded, properties, shape)
        foreground[box] = self._restored(probabilities[own].sum(axis=0), properties, shape)
        doubt = np.zeros(scan.data.shape, np.float32)
        doubt[box] = self._restored(uncertainty(probabilities), properties, shape)
        return Prediction(*(scan.with_data(values) for values in (labels, foreground, doubt)))

    def _preprocess(self, scan: Volume, box: tuple[slice, slice, slice]) -> tuple:
        """nnU-Net's network image (1, *spatial) of the box, what it remembers, and (Z, Y, X)."""
        part = scan.data[box].transpose(2, 1, 0)[None]
        properties = {"spacing": [float(step) for step in scan.spacing_mm[::-1]]}
        data, _, properties = self.chosen.preprocessor_class(verbose=False).run_case_npy(
            part, None, properties, self.manager, self.chosen, self.dataset_json
        )
        return np.asarray(data, np.float32), properties, part.shape[1:]

    def _padded(self, data: np.ndarray) -> tuple[np.ndarray, tuple[slice, ...]]:
        """The image no smaller than a patch, and where the original lies in it."""
        padded, where = pad_nd_image(
            data, self.chosen.patch_size, "constant", {"constant_values": 0}, True, None
        )
        return padded, where

    def _tube(
        self,
        scan: Volume,
        box: tuple[slice, slice, slice],
        centreline: Centreline,
        shape: tuple[int, ...],
        properties: dict,
    ) -> np.ndarray:
        """Which voxels of the network's image lie within the margin of the curve (bool)."""
        part = near(centreline, scan.crop(box), self.inference.margin_mm).transpose(2, 1, 0)
        part = part.transpose(self.manager.transpose_forward)
        part = part[tuple(slice(*bounds) for bounds in properties["bbox_used_for_cropping"])]
        nearest = [
            np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
            for new, old in zip(shape, part.shape, strict=True)
        ]
        return part[np.ix_(*nearest)]

    def _tiles(self, tube: np.ndarray) -> list[tuple[slice, ...]]:
        """nnU-Net's sliding window, without the tiles that do not touch the tube."""
        patch = self.input_shape[1:]
        steps = compute_steps_for_sliding_window(tube.shape, patch, self.inference.tile_step)
        tiles = [
            tuple(slice(start, start + size) for start, size in zip(corner, patch, strict=True))
            for corner in product(*steps)
        ]
        return [tile for tile in tiles if tube[tile].any()]

    def _slide(self, data: np.ndarray, tube: np.ndarray, runner: Runner) -> np.ndarray:
        """Mean logits (classes, *spatial), the middle of a tile counting most.

        Where no tile was needed, the background is certain.
        """
        padded, where = self._padded(data)
        patch = self.input_shape[1:]
        weight = compute_gaussian(
            patch, value_scaling_factor=10, dtype=torch.float32, device=torch.device("cpu")
        ).numpy()
        tiles = self._tiles(self._padded(tube[None])[0][0])
        total, norm = None, np.zeros(padded.shape[1:], np.float32)
        for start in range(0, len(tiles), self.inference.tiles_at_once):
            some = tiles[start : start + self.inference.tiles_at_once]
            batch = np.stack([padded[(slice(None), *tile)] for tile in some])
            for tile, logits in zip(some, runner(batch), strict=True):
                if total is None:
                    total = np.zeros((len(logits), *padded.shape[1:]), np.float32)
                total[(slice(None), *tile)] += logits * weight
                norm[tile] += weight
        total /= np.where(norm > 0, norm, 1)
        total[0][norm == 0] = CERTAIN
        return total[(slice(None), *where[1:])]

    def _resampled(self, logits: np.ndarray, properties: dict) -> np.ndarray:
        """The logits on the voxels of the box (nnU-Net's axes and crop)."""
        spacing = [properties["spacing"][axis] for axis in self.manager.transpose_forward]
        shape = properties["shape_after_cropping_and_before_resampling"]
        resampled = self.chosen.resampling_fn_probabilities(
            logits, shape, self.chosen.spacing, spacing
        )
        return np.asarray(resampled, np.float32)

    def _restored(
        self, values: np.ndarray, properties: dict, shape: tuple[int, int, int]
    ) -> np.ndarray:
        """Back from nnU-Net's crop and axes to the box (X, Y, Z)."""
        forward, backward = self.manager.transpose_forward, self.manager.transpose_backward
        full = np.zeros([shape[axis] for axis in forward], values.dtype)
        full[tuple(slice(*bounds) for bounds in properties["bbox_used_for_cropping"])] = values
        return full.transpose(backward).transpose(2, 1, 0)
