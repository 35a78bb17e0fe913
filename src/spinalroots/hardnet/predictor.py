"""A trained HarDNet: from a scan to level labels on the scan's grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from spinalroots.files import write_json
from spinalroots.hardnet.data.straighten import InputSpec, Stack, bend_back, network_stack
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.hardnet.windows import probabilities, windows
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.doubt import name_chance
from spinalroots.inference.predictor import Prediction, Runner, decode, torch_runner
from spinalroots.inference.stored import FORMAT, load_network, read_description, save_weights
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import HardnetInference

SLICES_AT_ONCE = 16
"""Slices of one batch of a 2D network."""


@dataclass
class HardnetPredictor:
    """Implements :class:`spinalroots.inference.predictor.Predictor`; see there.

    `spec`: what the network's input is; `inference`: how a scan is segmented.
    """

    name: str
    target: Target
    network: SegmentationHardnet
    input_shape: tuple[int, ...]
    spec: InputSpec
    inference: HardnetInference

    def inputs(self, scan: Volume, centreline: Centreline) -> Iterator[np.ndarray]:
        """The network inputs (C, *spatial) float32 that the scan is cut into."""
        stack, _ = network_stack(scan, centreline, self.spec)
        for _, tile in windows(stack, self.input_shape, self.inference.overlap):
            yield tile

    def stack_probabilities(self, stack: Stack, runner: Runner | None = None) -> np.ndarray:
        """Class probabilities (classes, S, S, Z) of a straightened scan."""
        flat = len(self.input_shape) == 3
        return probabilities(
            stack,
            runner or torch_runner(self.network),
            len(self.target.class_names),
            self.input_shape,
            overlap=self.inference.overlap,
            mirroring=self.inference.mirroring,
            batch=SLICES_AT_ONCE if flat else 1,
        )

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels, P(root) and P(name) on the scan's RAS+ grid; `runner` replaces the net."""
        stack, placement = network_stack(scan, centreline, self.spec)
        roots = bend_back(self.stack_probabilities(stack, runner)[1:], placement)
        background = 1 - roots.sum(axis=0, keepdims=True)
        chances = np.concatenate([background, roots])
        labels = np.zeros(scan.data.shape, np.uint8)
        labels[placement.box] = decode(chances, self.target, self.inference.decoding)
        foreground = np.zeros(scan.data.shape, np.float32)
        foreground[placement.box] = chances[1 : len(self.target.values) + 1].sum(axis=0)
        names = np.zeros(scan.data.shape, np.float32)
        names[placement.box] = name_chance(roots)
        return Prediction(*(scan.with_data(values) for values in (labels, foreground, names)))

    def save(self, folder: Path, **more) -> None:
        """Write model.safetensors and model.json, which carries every number that a prediction
        takes; `more` is added to the latter as it is."""
        save_weights(self.network, Path(folder) / "model.safetensors")
        write_json(
            Path(folder) / "model.json",
            {
                "family": "hardnet",
                "format": FORMAT,
                "name": self.name,
                "target": self.target.as_dict(),
                "classes": list(self.target.class_names),
                "network": asdict(self.network.config),
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "input": {**asdict(self.spec), "shape": list(self.input_shape)},
                **more,
            },
        )

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", inference: HardnetInference | None = None
    ) -> HardnetPredictor:
        """Read what :meth:`save` wrote.

        :param inference: how to segment; None: as model.json says under `inference`.
        :raises InputError: the weights are missing or belong to another network, or model.json is
            of another format.
        """
        record = read_description(folder, "a HarDNet")
        config = TypeAdapter(NetworkConfig).validate_python(record["network"])
        config.require_possible()
        network = load_network(
            lambda: SegmentationHardnet(config), Path(folder) / "model.safetensors"
        )
        spec = dict(record["input"])
        shape = tuple(spec.pop("shape"))
        return cls(
            record["name"],
            Target.from_dict(record["target"]),
            network.to(torch.device(device)).eval(),
            shape,
            TypeAdapter(InputSpec).validate_python(spec),
            inference or HardnetInference.model_validate(record["inference"]),
        )


def input_shape(config: NetworkConfig, spec: InputSpec, slices: int) -> tuple[int, ...]:
    """(C, *spatial) that holds a whole square, each axis a multiple of what the network needs.

    `slices`: wanted depth of a 3D input.
    """
    wanted = (spec.size_vox, spec.size_vox, slices)[: config.dim]
    spatial = (
        -(-length // divisor) * divisor
        for length, divisor in zip(wanted, config.divisors, strict=True)
    )
    return (config.channels, *spatial)
