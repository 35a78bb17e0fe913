"""The box that is kept of a scan: along the cord where roots are labelled, across the sac."""

from __future__ import annotations

import numpy as np

from spinalroots.imaging.boxes import bounding_box, union_box, widened
from spinalroots.imaging.volume import Box


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
    margin_vox = np.ceil(np.array([around_mm, around_mm, along_mm]) / spacing_mm - 1e-9).astype(int)
    along = widened(labelled, margin_vox, roots.shape)[2]
    across: Box | None = bounding_box((roots != 0)[:, :, along])
    if sac is not None:
        across = union_box(across, bounding_box((sac != 0)[:, :, along]))
    assert across is not None  # the roots are in it
    return (*widened(across, margin_vox, roots.shape)[:2], along)
