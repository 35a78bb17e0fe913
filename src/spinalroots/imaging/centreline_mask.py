"""The centreline of a scan whose cord and dural sac are annotated, by hand or by a program.

The Spinal Cord Toolbox, where a person has it installed, runs as a program of its own and on this
machine: `sct_get_centerline` (OptiC, Gros et al. 2018) follows the cord, and goes on as it can
below the conus.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.centreline import Centreline, smooth
from spinalroots.imaging.volume import Volume, read_image, write_volume

CORD, CSF = 1, 2
"""Values of the tissue map that make up the cord and, together, the dural sac."""

CONUS_AREA_MM2 = 3.0
"""Where the cord's cross section is smaller, the curve follows the sac (S3 has 5 mm²)."""


def from_masks(
    tissues: Volume, *, roots: np.ndarray | None = None, stiffness_mm: float = 4.0
) -> Centreline:
    """Smooth curve through the centres of mass of cord, or of the whole sac where there is no cord.

    :param tissues: tissue map (X, Y, Z) in RAS+: 1 cord, 2 CSF; or a cord mask of ones alone.
    :param roots: (X, Y, Z), non-zero in roots, which a tissue map leaves out of the sac: most of
        them lie at its back, so that its centre would move forwards without them.
    :param stiffness_mm: waves shorter than about six times this are smoothed away.
    :raises InputError: neither cord nor CSF in at least two slices.
    """
    cord, cord_area = slice_centres(tissues.data == CORD, tissues.spacing_mm)
    inside = np.isin(tissues.data, (CORD, CSF))
    if roots is not None:
        inside |= (roots != 0) & inside.any(axis=(0, 1))
    sac, sac_area = slice_centres(inside, tissues.spacing_mm)
    use_cord = cord_area >= CONUS_AREA_MM2
    centres = np.where(use_cord[:, None], cord, sac)
    weights = (sac_area > 0).astype(float)
    known = np.flatnonzero(weights)
    if len(known) < 2:
        raise InputError(
            "tissue map",
            expected="cord (1) or CSF (2) in at least two axial slices",
            found=f"{len(known)} such slices",
            fix="Give a complete tissue map, or find the centreline in the image.",
        )
    span = slice(known[0], known[-1] + 1)
    path = smooth(centres[span], weights[span], stiffness_mm / tissues.spacing_mm[2])
    heights = np.arange(span.start, span.stop, dtype=float)
    return Centreline.from_slices(np.column_stack([path, heights]), tissues.affine, "mask")


def shows_the_sac(tissues: Volume, share: float = 0.5) -> bool:
    """Whether cord or CSF is annotated in at least `share` of the slices, enough for a line."""
    return bool(np.isin(tissues.data, (CORD, CSF)).any(axis=(0, 1)).mean() >= share)


def slice_centres(mask: np.ndarray, spacing_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass (Z, 2) in voxels and area (Z,) in mm² of every axial slice of `mask`."""
    count = mask.sum(axis=(0, 1))
    along = [
        np.arange(mask.shape[axis]) @ mask.sum(axis=1 - axis).reshape(mask.shape[axis], -1)
        for axis in (0, 1)
    ]
    centres = np.stack(along, axis=-1) / np.maximum(count, 1)[:, None]
    return centres, count * float(spacing_mm[0] * spacing_mm[1])


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
