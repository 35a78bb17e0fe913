"""A trained HarDNet: from a scan to level labels on the scan's grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spinalroots.errors import InputError
from spinalroots.files import read_json, write_bytes, write_json
from spinalroots.hardnet.data.straighten import InputSpec, Stack, bend_back, network_stack
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.hardnet.windows import probabilities, windows
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.decoding import decode, uncertainty
from spinalroots.inference.predictor import Prediction, Runner, torch_runner
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import HardnetInference

SLICES_AT_ONCE = 16
"""Slices of one batch of a 2D network."""


@dataclass
class HardnetPredictor:
    """Implements :class:`spinalroots.inference.predictor.Predictor`; see there.

    `spec`: voxel size of the squares; `overlap`, `mirroring`, `decoding`: see params.yaml.
    """

    name: str
    target: Target
    network: SegmentationHardnet
    input_shape: tuple[int, ...]
    spec: InputSpec
    overlap: float = 0.5
    mirroring: bool = False
    decoding: str = "entity_first"

    def inputs(self, scan: Volume, centreline: Centreline) -> Iterator[np.ndarray]:
        """The network inputs (C, *spatial) float32 that the scan is cut into."""
        stack, _ = network_stack(scan, centreline, self.spec)
        for _, tile in windows(stack, self.input_shape, self.overlap):
            yield tile

    def stack_probabilities(self, stack: Stack, runner: Runner | None = None) -> np.ndarray:
        """Class probabilities (classes, S, S, Z) of a straightened scan."""
        flat = len(self.input_shape) == 3
        return probabilities(
            stack,
            runner or torch_runner(self.network),
            len(self.target.class_names),
            self.input_shape,
            overlap=self.overlap,
            mirroring=self.mirroring,
            batch=SLICES_AT_ONCE if flat else 1,
        )

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels, P(root) and uncertainty on the scan's RAS+ grid; `runner` replaces the net."""
        stack, placement = network_stack(scan, centreline, self.spec)
        roots = bend_back(self.stack_probabilities(stack, runner)[1:], placement)
        background = 1 - roots.sum(axis=0, keepdims=True)
        chances = np.concatenate([background, roots])
        labels = np.zeros(scan.data.shape, np.uint8)
        labels[placement.box] = decode(chances, self.target, self.decoding)
        foreground = np.zeros(scan.data.shape, np.float32)
        foreground[placement.box] = chances[1 : len(self.target.values) + 1].sum(axis=0)
        doubt = np.zeros(scan.data.shape, np.float32)
        doubt[placement.box] = uncertainty(chances)
        return Prediction(*(scan.with_data(values) for values in (labels, foreground, doubt)))

    def save(self, folder: Path, **more) -> None:
        """Write model.safetensors and model.json; `more` is added to the latter as it is."""
        from safetensors.torch import save

        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        write_bytes(Path(folder) / "model.safetensors", save(weights))
        write_json(
            Path(folder) / "model.json",
            {
                "family": "hardnet",
                "name": self.name,
                "target": self.target.as_dict(),
                "classes": list(self.target.class_names),
                "network": self.network.config.as_dict(),
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "input": {
                    **self.spec.as_dict(),
                    "shape": list(self.input_shape),
                    "normalisation": "2nd and 98th percentile within 9 mm of the centreline → 0, 1",
                },
                "inference": {
                    "overlap": self.overlap,
                    "mirroring": self.mirroring,
                    "decoding": self.decoding,
                },
                **more,
            },
        )

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", inference: HardnetInference | None = None
    ) -> HardnetPredictor:
        """Read what :meth:`save` wrote; nothing is unpickled.

        :param inference: how to segment; None takes what the model was published with.

        :raises InputError: the weights are missing or belong to another network.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        record = read_json(folder / "model.json")
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise InputError(
                weights,
                expected="the weights of a trained HarDNet",
                found="no such file",
                fix="Run `dvc repro` or `dvc pull`.",
            )
        network = SegmentationHardnet(NetworkConfig.from_dict(record["network"]))
        try:
            network.load_state_dict(load_file(weights))
        except RuntimeError as error:
            raise InputError(
                weights,
                expected="the weights that model.json describes",
                found=f"others ({str(error).splitlines()[0]})",
                fix="Restore both files together.",
            ) from error
        spec = {key: record["input"][key] for key in ("square_mm", "voxel_mm", "slice_mm")}
        return cls(
            record["name"],
            Target.from_dict(record["target"]),
            network.to(torch.device(device)).eval(),
            tuple(record["input"]["shape"]),
            InputSpec(**spec),
            **(inference.model_dump() if inference else record["inference"]),
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
