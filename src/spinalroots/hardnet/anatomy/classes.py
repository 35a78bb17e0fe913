"""What the anatomy network tells apart, and how a phantom's anatomy map becomes that."""

import numpy as np

BACKGROUND, CSF, CORD, ROOT, ROOT_OUTSIDE = range(5)
NAMES = ("background", "csf", "cord", "root", "root outside")
"""Roots beyond the sac, on their way to the foramen, are a class of their own: who draws the
sac leaves them out, who draws roots does not."""
UNKNOWN = 255
"""A voxel that no loss counts: outside the scan."""

WHITE_MATTER_LABEL, CSF_LABEL, FAT_LABEL, ROOT_LABEL, ROOT_OUTSIDE_LABEL = range(1, 6)
"""Values of an anatomy map: the tissue map's, roots in the sac, and roots beyond it."""

LABELS = 6
"""Number of values of an anatomy map, background included."""

OF_LABEL = np.array([BACKGROUND, CORD, CSF, BACKGROUND, ROOT, ROOT_OUTSIDE], np.uint8)
"""Class of each value of an anatomy map."""
