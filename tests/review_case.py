"""Predictions to review on an oblique grid, as `predict` and the pipeline leave them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from nibabel.eulerangles import euler2mat

from spinalroots.dataset.layout import ALL_ROOTS, LABEL_SUFFIX, Dataset
from spinalroots.files import files_together, sha256, write_json
from spinalroots.imaging.volume import Grid, Volume, read_labels, write_volume
from spinalroots.registry.anatomy import REFINED_ROOTS, Root, Scheme, individuals_to_levels
from spinalroots.registry.models import DEFAULT_MODEL

SHAPE, SPACING_MM = (40, 44, 48), (0.9, 1.1, 1.7)
L4, L5 = Root.parse("L4_D_L").value, Root.parse("L5_D_L").value


def scan(seed: int = 0) -> Volume:
    """Noise with a bright sac, RAS+, tilted by a few degrees, as stored along other axes."""
    data = np.random.default_rng(seed).normal(200, 20, SHAPE).astype(np.float32)
    data[12:28, 10:30] += 400
    affine = np.eye(4)
    affine[:3, :3] = euler2mat(0.06, -0.05, 0.09) * SPACING_MM
    affine[:3, 3] = [-18.0, 25.5, -140.25]
    return Volume(data, affine, psr(affine))


def psr(affine: np.ndarray) -> Grid:
    """The grid of `affine` with its axes as scanners store sagittal slices: P, S, R."""
    turned = np.zeros((4, 4))
    turned[3, 3] = 1
    turned[:3, 0], turned[:3, 1], turned[:3, 2] = -affine[:3, 1], affine[:3, 2], affine[:3, 0]
    turned[:3, 3] = affine[:3, 3] + affine[:3, 1] * (SHAPE[1] - 1)
    return Grid((SHAPE[1], SHAPE[2], SHAPE[0]), turned)


def individuals() -> np.ndarray:
    """22 threads of two by two voxels; L4_D_L in two pieces."""
    labels = np.zeros(SHAPE, np.uint8)
    for number, root in enumerate(REFINED_ROOTS):
        x = 13 + 7 * (root.side == "L") + 3 * (number // 2 % 2)
        y = 12 + 3 * (number // 4)
        labels[x : x + 2, y : y + 2, 4 + number : 14 + number] = root.value
    where = np.argwhere(labels == L4)
    middle = int(np.median(where[:, 2]))
    labels[:, :, middle][labels[:, :, middle] == L4] = 0
    return labels


def write_maps(stem: Path, volume: Volume, labels: np.ndarray) -> None:
    """The maps of a prediction, `labels` being the individual one."""
    roots = (labels > 0).astype(np.uint8)
    roots[30:32, 30:32, 5:20] = 1  # one without a name
    for suffix, data in (
        (LABEL_SUFFIX[Scheme.INDIVIDUALS], labels),
        (LABEL_SUFFIX[Scheme.LEVELS], individuals_to_levels(labels)),
        (LABEL_SUFFIX[Scheme.ENTITY], (labels > 0).astype(np.uint8)),
        (ALL_ROOTS, roots),
    ):
        path = stem.with_name(f"{stem.name}_{suffix}.nii.gz")
        write_volume(path, volume.with_data(data), native=volume.native)


def predicted(folder: Path, seed: int = 0) -> Path:
    """A folder as `spinalroots predict patient.nii.gz -o folder/out` leaves it; gives its mask."""
    volume = scan(seed)
    path = folder / "patient.nii.gz"
    write_volume(path, volume, native=volume.native)
    with files_together(folder / "out", of=f"predict {path.name} {sha256(path)}") as staging:
        write_maps(staging / "patient", volume, individuals())
        record = {
            "model": DEFAULT_MODEL,
            "scan": path.name,
            "warnings": [
                {"kind": "small_root", "label": "S3_D_L", "message": "S3_D_L has 0.5 mm³."},
                {"kind": "missing_level", "label": "S2", "message": "S2 has hardly a root."},
            ],
        }
        write_json(staging / "patient_prediction.json", record)
    return folder / "out" / f"patient_{LABEL_SUFFIX[Scheme.INDIVIDUALS]}.nii.gz"


def pipeline(root: Path, cases: tuple[str, ...] = ("sub-001", "sub-002")) -> Path:
    """A project's data folder with scans and a model's predictions; gives these."""
    masks = Dataset(root / "data" / "postprocessed" / DEFAULT_MODEL)
    for number, case in enumerate(cases):
        volume = scan(number)
        write_volume(Dataset(root / "data/raw/ingested").image(case), volume, native=volume.native)
        stem = masks.labels(case, Scheme.ENTITY).with_name(case)
        write_maps(stem, volume, individuals())
    return masks.root


class Served:
    """`spinalroots review` in a process of its own; `url` ends in a slash."""

    def __init__(self, folder: Path, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "spinalroots", "review", *map(str, arguments)]
        self.process = subprocess.Popen(
            [*command, "--no-browser"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/(\S+)/", line)
        if not found:
            raise AssertionError(line + self.process.communicate()[1])
        self.url, self.port, self.token = found[0], int(found[1]), found[2]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """At once, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def corrected_map(folder: Path, stem: str, scheme: str = "individuals") -> np.ndarray:
    """A corrected map, RAS+."""
    kind = "mask" if scheme == "roots" else "dseg"
    return read_labels(folder / f"{stem}_label-{scheme}_desc-corrected_{kind}.nii.gz").data
