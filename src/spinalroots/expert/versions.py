"""Which prediction an expert's score is about: a short name that changes with the mask's voxels."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import read_labels
from spinalroots.registry.anatomy import Scheme

PREDICTED = Path("data/postprocessed")
"""The masks that experts are shown: a data set per model."""
VERSION = re.compile(r"^[0-9a-f]{12}\Z")


def version_of(mask: Path) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a label map's shape and voxels in RAS+.

    The same for the same labels, however the file is compressed or its axes are stored.

    :raises InputError: no readable label map.
    """
    labels = read_labels(mask)
    digest = hashlib.sha256(repr(tuple(map(int, labels.data.shape))).encode())
    digest.update(labels.data.tobytes())
    return digest.hexdigest()[:12]


def current_version(model: str, case: str, root: Path = PREDICTED) -> str:
    """The version of the masks that `model` has given for `case` by now.

    :raises InputError: it has given none.
    """
    dataset = Dataset(Path(root) / model)
    for scheme in (Scheme.INDIVIDUALS, Scheme.LEVELS):
        if dataset.has(case, scheme):
            return version_of(dataset.labels(case, scheme))
    raise InputError(
        dataset.labels(case, Scheme.INDIVIDUALS),
        expected="the prediction that was scored",
        found="no such file",
        fix="Score a test case of this model, or give the scored mask with --prediction.",
    )
