"""The centreline by the Spinal Cord Toolbox, where a person has it installed.

`sct_get_centerline` (OptiC, Gros et al. 2018) runs as a program of its own and on this machine; it
follows the cord, and goes on as it can below the conus.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.centreline_mask import slice_centres
from spinalroots.imaging.curves import smooth
from spinalroots.imaging.volume import Volume, read_image, write_volume

PROGRAM = "sct_get_centerline"
TIMEOUT_S = 600


def available() -> bool:
    """Whether SCT is on the PATH."""
    return shutil.which(PROGRAM) is not None


def trace_with_sct(scan: Volume, *, stiffness_mm: float = 6.0) -> Centreline | None:
    """SCT's centreline of a T2 scan (X, Y, Z) in RAS+; None where SCT finds none or fails."""
    with tempfile.TemporaryDirectory() as folder:
        image, output = Path(folder) / "scan.nii.gz", Path(folder) / "line"
        write_volume(image, Volume(scan.data.astype(np.float32), scan.affine))
        try:
            subprocess.run(
                [PROGRAM, "-i", str(image), "-c", "t2", "-method", "optic", "-o", str(output)],
                check=True,
                capture_output=True,
                timeout=TIMEOUT_S,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        found = output.with_suffix(".nii.gz")
        if not found.is_file():
            return None
        line = read_image(found)
    if line.data.shape != scan.data.shape:
        return None
    centres, area = slice_centres(line.data > 0.5, scan.spacing_mm)
    weights = (area > 0).astype(float)
    if weights.sum() < 2:
        return None
    path = smooth(centres, weights, stiffness_mm / scan.spacing_mm[2])
    return Centreline.from_slices(
        np.column_stack([path, np.arange(len(weights))]), scan.affine, "sct"
    )
