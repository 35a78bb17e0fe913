"""The box that is kept of a scan: along the cord where roots are labelled, across the sac."""

from __future__ import annotations

import numpy as np

from spinalroots.refine.flood_fill import bounding_box

Box = tuple[slice, slice, slice]


def annotated_box(
    roots: np.ndarray,
    sac: np.ndarray | None,
    spacing_mm: np.ndarray,
    *,
    along_mm: float,
    around_mm: float,
) -> Box | None:
    """The box to keep, in voxels of an RAS+ grid; None if there is no labelled root.

    Along the third axis it spans the labelled roots plus `along_mm` at each end; across, the sac
    (and the roots) within that span plus `around_mm`. It never leaves the volume.

    :param roots: (X, Y, Z), non-zero where a refined root is.
    :param sac: (X, Y, Z), non-zero in cord and CSF; None or empty: the roots stand in for it.
    """
    labelled = bounding_box(roots != 0)
    if labelled is None:
        return None
    along = _widen(labelled[2], along_mm / spacing_mm[2], roots.shape[2])
    across = bounding_box((roots != 0)[:, :, along])
    if sac is not None and (inside := bounding_box((sac != 0)[:, :, along])) is not None:
        across = _union(across, inside)
    return (
        _widen(across[0], around_mm / spacing_mm[0], roots.shape[0]),
        _widen(across[1], around_mm / spacing_mm[1], roots.shape[1]),
        along,
    )


def place_back(part: np.ndarray, box: Box, shape: tuple[int, int, int]) -> np.ndarray:
    """A cropped label map back in an empty volume of the scan's RAS+ `shape`."""
    whole = np.zeros(shape, part.dtype)
    whole[box] = part
    return whole


def _widen(extent: slice, margin_vox: float, size: int) -> slice:
    margin = int(np.ceil(margin_vox - 1e-9))
    return slice(max(0, extent.start - margin), min(size, extent.stop + margin))


def _union(one: Box, two: Box) -> Box:
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, two, strict=True)
    )
