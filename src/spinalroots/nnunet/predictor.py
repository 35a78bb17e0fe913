"""A trained nnU-Net on a whole scan: box around the centreline, sliding window, labels on its grid.

nnU-Net's own preprocessing, tiling, Gaussian weights and resampling are used; no mirroring at test
time. nnU-Net's arrays run (C, Z, Y, X), the project's (X, Y, Z): one transposition each way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.special import softmax

from spinalroots.imaging.boxes import centreline_box, centreline_tube, put_back
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Box, Volume
from spinalroots.inference.doubt import name_chance
from spinalroots.inference.predictor import Prediction, Runner, decode, torch_runner
from spinalroots.inference.stored import load_network, read_description
from spinalroots.nnunet.network import build_network
from spinalroots.nnunet.tiles import slide, tiles
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import NnunetInference


@dataclass(frozen=True)
class _Image:
    """What the network sees of a scan, in nnU-Net's axes, and the way back.

    `data` (1, *spatial) float32; `tube` (*spatial) bool: near the curve; both padded to a patch.
    `unpadded`: what of *spatial is not padding. `box`: of the scan. `properties`: what nnU-Net's
    preprocessing remembers.
    """

    data: np.ndarray
    tube: np.ndarray
    unpadded: Box
    box: Box
    properties: dict


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
    def load(cls, folder: Path, device: str, inference: NnunetInference) -> NnunetPredictor:
        """The network that a training left in `folder`, on a device (`cpu` or `cuda`).

        :raises InputError: the description or the weights are of another kind.
        """
        record = read_description(folder, "an nnU-Net")
        target = Target.from_dict(record["target"])
        classes = len(target.class_names)
        network = load_network(
            lambda: build_network(
                record["plans"], record["configuration"], classes, record["folds"]
            ),
            Path(folder) / "model.safetensors",
        )
        return cls(
            record["name"],
            target,
            network.eval().to(device),
            record["plans"],
            record["dataset_json"],
            record["configuration"],
            inference,
        )

    def untrained(self, seed: int) -> NnunetPredictor:
        """The same with a network as it was before any training: what learning is held against."""
        torch.manual_seed(seed)
        classes = len(self.target.class_names)
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
        image = self._image(scan, centreline)
        for tile in self._tiles(image):
            yield np.ascontiguousarray(image.data[(slice(None), *tile)])

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels, P(root) and P(name) on the scan's RAS+ grid; `runner` replaces the net."""
        image = self._image(scan, centreline)
        logits = slide(
            image.data,
            self._tiles(image),
            len(self.target.class_names),
            runner or torch_runner(self.network),
            self.inference.tiles_at_once,
        )
        logits = self._resampled(logits[(slice(None), *image.unpadded)], image)
        probabilities = softmax(logits, axis=0)
        own = slice(1, len(self.target.values) + 1)
        maps = (
            decode(probabilities, self.target, self.inference.decoding),
            probabilities[own].sum(axis=0),
            name_chance(probabilities[1:]),
        )
        return Prediction(*(scan.with_data(self._restored(m, image, scan)) for m in maps))

    def _tiles(self, image: _Image) -> list[Box]:
        return tiles(image.tube, self.input_shape[1:], self.inference.tile_step)

    def _image(self, scan: Volume, centreline: Centreline) -> _Image:
        """The surroundings of the curve, preprocessed by nnU-Net."""
        margin_mm = self.inference.margin_mm
        box = centreline_box(centreline, scan.grid, margin_mm / scan.spacing_mm[:2])
        part = scan.crop(box)
        data, _, properties = self.chosen.preprocessor_class(verbose=False).run_case_npy(
            part.data.transpose(2, 1, 0)[None],
            None,
            {"spacing": [float(step) for step in scan.spacing_mm[::-1]]},
            self.manager,
            self.chosen,
            self.dataset_json,
        )
        tube = centreline_tube(centreline, part.grid, margin_mm).transpose(2, 1, 0)
        tube = self._seen(tube, properties, data.shape[1:])
        padded, unpadded = self._padded(np.asarray(data, np.float32))
        return _Image(padded, self._padded(tube)[0], unpadded[1:], box, properties)

    def _seen(self, mask: np.ndarray, properties: dict, shape: tuple[int, ...]) -> np.ndarray:
        """A mask (Z, Y, X) of the box on the network's voxels: nnU-Net's axes, crop and size."""
        mask = mask.transpose(self.manager.transpose_forward)
        mask = mask[tuple(slice(*bounds) for bounds in properties["bbox_used_for_cropping"])]
        nearest = [
            np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
            for new, old in zip(shape, mask.shape, strict=True)
        ]
        return mask[np.ix_(*nearest)]

    def _padded(self, data: np.ndarray) -> tuple[np.ndarray, Box]:
        """An array (..., *spatial) no smaller than a patch, and where the original lies in it."""
        return pad_nd_image(
            data, self.chosen.patch_size, "constant", {"constant_values": 0}, True, None
        )

    def _resampled(self, logits: np.ndarray, image: _Image) -> np.ndarray:
        """The logits on the voxels of the box (nnU-Net's axes and crop)."""
        properties = image.properties
        spacing = [properties["spacing"][axis] for axis in self.manager.transpose_forward]
        shape = properties["shape_after_cropping_and_before_resampling"]
        resampled = self.chosen.resampling_fn_probabilities(
            logits, shape, self.chosen.spacing, spacing
        )
        return np.asarray(resampled, np.float32)

    def _restored(self, values: np.ndarray, image: _Image, scan: Volume) -> np.ndarray:
        """Back from nnU-Net's crop and axes to the scan (X, Y, Z), 0 beyond the box."""
        forward, backward = self.manager.transpose_forward, self.manager.transpose_backward
        size = np.array(scan.grid.crop(image.box).shape[::-1])
        bounds = image.properties["bbox_used_for_cropping"]
        whole = put_back(values, tuple(slice(*pair) for pair in bounds), tuple(size[forward]))
        part = whole.transpose(backward).transpose(2, 1, 0)
        return put_back(part, image.box, scan.data.shape)
