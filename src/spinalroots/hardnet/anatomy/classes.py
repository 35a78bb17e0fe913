"""What the anatomy network tells apart, and how a phantom's anatomy map becomes that."""

import numpy as np

BACKGROUND, CSF, CORD, ROOT = range(4)
NAMES = ("background", "csf", "cord", "root")
UNKNOWN = 255
"""A voxel that no loss counts: outside the scan, or a root beyond the sac, which few draw."""

WHITE_MATTER_LABEL, CSF_LABEL, FAT_LABEL, ROOT_LABEL, ROOT_OUTSIDE_LABEL = range(1, 6)
"""Values of an anatomy map: the tissue map's, roots in the sac, and roots beyond it."""

LABELS = 6
"""Number of values of an anatomy map, background included."""

OF_LABEL = np.array([BACKGROUND, CORD, CSF, BACKGROUND, ROOT, UNKNOWN], np.uint8)
"""Class of each value of an anatomy map."""
