"""The cases that an export is calibrated and measured on, as files and as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase
from spinalroots.errors import InputError
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid, Volume, read_image
from spinalroots.inference.predictor import Predictor
from spinalroots.metrics.root_maps import read_reference
from spinalroots.registry.anatomy import Target


@dataclass(frozen=True)
class MeasuredCase:
    """A whole scan with its image-only centreline, and what it is measured against.

    `truth` holds the roots of synthetic cases, `refined` the annotation of the others.
    """

    selected: SelectedCase
    centreline_path: Path
    truth: Dataset
    refined: Dataset

    @property
    def name(self) -> str:
        """Of the case."""
        return self.selected.name

    def scan(self) -> tuple[Volume, Centreline]:
        """The scan (RAS+, float32) and its centreline."""
        image = self.selected.dataset.image(self.name)
        return read_image(image), Centreline.read(self.centreline_path)

    def reference(self, target: Target, grid: Grid) -> np.ndarray:
        """Mask (X, Y, Z) bool on the scan's RAS+ grid: the target's roots.

        Of its types only, where the roots are known one by one; else of its levels.
        """
        maps = read_reference(self.selected, target, grid, truth=self.truth, refined=self.refined)
        return (maps.levels if maps.individuals is None else maps.individuals).data > 0


def calibration_inputs(
    predictor: Predictor, scans: list[tuple[Path, Path]], samples: int, seed: int
) -> list[np.ndarray]:
    """Network inputs (C, *spatial) from training cases, what NNCF learns the value ranges from.

    :param scans: file and centreline file of each case; every one gives about as many inputs.
    :param samples: inputs wanted altogether; fewer if the cases have no more.
    :raises InputError: there is no training case.
    """
    if not scans:
        raise InputError(
            "quantization",
            expected="training cases to calibrate on",
            found="none",
            fix="Put cases into the training part of the split.",
        )
    generator = np.random.default_rng([seed, len(scans), samples])
    drawn = [scans[index] for index in generator.permutation(len(scans))[:samples]]
    shares = np.diff(np.linspace(0, samples, len(drawn) + 1).round().astype(int))
    chosen: list[np.ndarray] = []
    for (scan, centreline), share in zip(drawn, shares, strict=True):
        inputs = list(predictor.inputs(read_image(scan), Centreline.read(centreline)))
        picked = sorted(generator.permutation(len(inputs))[:share])
        chosen += [np.ascontiguousarray(inputs[index], np.float32) for index in picked]
    return chosen
