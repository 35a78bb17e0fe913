"""The cases that an export is calibrated and measured on, as files and as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import PHANTOM, SelectedCase
from spinalroots.errors import InputError
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, read_labels
from spinalroots.registry.anatomy import Scheme, Target

if TYPE_CHECKING:
    from spinalroots.inference.predictor import Predictor

TRUTH = Dataset(Path("data/truth"))
REFINED = Dataset(Path("data/refined"))
CENTRELINES = Path("data/centreline")


@dataclass(frozen=True)
class Case:
    """A whole scan with its image-only centreline, and the annotation it is measured against."""

    name: str
    scan_path: Path
    centreline_path: Path
    reference_path: Path

    @classmethod
    def of(cls, selected: SelectedCase) -> Case:
        """Phantom cases are measured against the truth, ingested ones against the refinement."""
        reference = TRUTH if selected.source == PHANTOM else REFINED
        return cls(
            selected.name,
            selected.dataset.image(selected.name),
            CENTRELINES / "raw" / f"{selected.name}.json",
            reference.labels(selected.name, Scheme.INDIVIDUALS),
        )

    def scan(self) -> tuple[Volume, Centreline]:
        """The scan (RAS+, float32) and its centreline."""
        return read_image(self.scan_path), Centreline.read(self.centreline_path)

    def reference(self, target: Target, scan: Volume) -> np.ndarray:
        """Mask (X, Y, Z) bool on the scan's RAS+ grid: the target's roots, of its types only.

        A level target counts the dorsal roots of its levels, as it was trained to. An annotation
        that covers a part of the scan's grid is background elsewhere.
        """
        labels = read_labels(self.reference_path)
        roots = Target(Scheme.INDIVIDUALS, target.levels, target.types)
        return paste(roots.encode(labels.data) > 0, labels, scan, self.reference_path)


def paste(mask: np.ndarray, part: Volume, whole: Volume, path: Path) -> np.ndarray:
    """`mask` on the grid of `part`, put where it lies in `whole`; False elsewhere.

    :raises InputError: `part` is not a box cut out of the grid of `whole`.
    """
    if part.grid.matches(whole.grid):
        return mask
    shift = np.linalg.solve(whole.affine, part.affine @ np.array([0.0, 0.0, 0.0, 1.0]))[:3]
    start = np.round(shift).astype(int)
    stop = start + mask.shape
    same_axes = np.allclose(part.affine[:3, :3], whole.affine[:3, :3], atol=1e-3)
    if not same_axes or (start < 0).any() or (stop > whole.data.shape).any():
        raise InputError(
            path,
            expected=f"a box of the grid {whole.grid}",
            found=str(part.grid),
            fix="Refine the case again.",
        )
    pasted = np.zeros(whole.data.shape, bool)
    pasted[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = mask
    return pasted


def calibration_inputs(
    predictor: Predictor, cases: list[str], samples: int, seed: int
) -> list[np.ndarray]:
    """Network inputs (C, *spatial) from training cases, what NNCF learns the value ranges from.

    :param cases: names in data/refined; every one gives about the same number of inputs.
    :param samples: inputs wanted altogether; fewer if the cases have no more.
    :raises InputError: there is no training case.
    """
    if not cases:
        raise InputError(
            "quantization",
            expected="training cases to calibrate on",
            found="none",
            fix="Put cases into the training part of the split.",
        )
    generator = np.random.default_rng([seed, len(cases), samples])
    drawn = [cases[index] for index in generator.permutation(len(cases))[:samples]]
    shares = np.diff(np.linspace(0, samples, len(drawn) + 1).round().astype(int))
    chosen: list[np.ndarray] = []
    for case, share in zip(drawn, shares, strict=True):
        scan = read_image(REFINED.image(case))
        centreline = Centreline.read(CENTRELINES / f"{case}.json")
        inputs = list(predictor.inputs(scan, centreline))
        picked = sorted(generator.permutation(len(inputs))[:share])
        chosen += [np.ascontiguousarray(inputs[index], np.float32) for index in picked]
    return chosen
