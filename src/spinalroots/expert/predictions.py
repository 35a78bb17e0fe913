"""Which prediction an expert's score is about: a short name that changes with the mask's voxels."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import read_labels
from spinalroots.registry.anatomy import Scheme

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


def current_version(predictions: Path, model: str, case: str) -> str:
    """The version of the masks that `model` has given for `case` by now.

    :param predictions: folder of the masks that experts are shown: a data set a model.
    :raises InputError: it has given none.
    """
    dataset = Dataset(predictions / model)
    for scheme in (Scheme.INDIVIDUALS, Scheme.LEVELS):
        if dataset.has(case, scheme):
            return version_of(dataset.labels(case, scheme))
    raise InputError(
        dataset.labels(case, Scheme.INDIVIDUALS),
        expected="the prediction that was scored",
        found="no such file",
        fix="Score a test case of this model, or give the scored mask with --prediction.",
    )


def current_versions(
    predictions: Path, scored: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """:func:`current_version` of every (model, case) in `scored` whose model has predicted."""
    return {
        (model, case): current_version(predictions, model, case)
        for model, case in sorted(set(scored))
        if (predictions / model).is_dir()
    }
