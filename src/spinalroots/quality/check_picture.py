"""A case at a glance: all labels seen from the front and from the side, on the scan's middle."""

import numpy as np

from spinalroots import pictures
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Scheme, label_colour

_SHOWN = (Scheme.INDIVIDUALS, Scheme.LEVELS, Scheme.ENTITY)


def picture_of(scan: Volume, by_rater: dict[str, dict[Scheme, np.ndarray]]) -> str:
    """Front and side view beside each other as a PNG, in a data URI for a page.

    The most telling map that there is gives the colours: roots, else levels, else all roots; of the
    agreed masks, else of the first rater. The patient's right, and their front, is on the left.
    A picture element is as large as the shortest edge of a voxel, so that no root is skipped.

    :param by_rater: rater (empty: agreed) → scheme → labels (X, Y, Z) on the scan's RAS+ grid.
    """
    found = [
        (scheme, schemes[scheme])
        for scheme in _SHOWN
        for _, schemes in sorted(by_rater.items())
        if scheme in schemes and schemes[scheme].any()
    ]
    scheme, labels = found[0] if found else (Scheme.ENTITY, np.zeros(scan.data.shape, np.uint8))
    views = [_view(scan, labels, scheme, axis) for axis in (1, 0)]
    gap = np.ones((len(views[0]), 4, 3))
    joined = np.concatenate([views[0], gap, views[1]], axis=1)
    return pictures.data_uri(pictures.pixels_png(joined))


def _view(scan: Volume, labels: np.ndarray, scheme: Scheme, axis: int) -> np.ndarray:
    """(height, width, 3) 0…1: the slice across `axis` with most labels, all labels projected."""
    others = tuple(index for index in range(3) if index != axis)
    counts = np.count_nonzero(labels, axis=others)
    middle = int(counts.argmax()) if counts.any() else labels.shape[axis] // 2
    grey = scan.data.take(middle, axis=axis)
    low, high = np.percentile(grey, (1, 99.5))
    grey = ((grey - low) / max(high - low, 1e-6)).clip(0, 1)
    seen = labels.max(axis=axis)
    picture = np.repeat(grey[..., None], 3, axis=2)
    for value in np.unique(seen[seen > 0]).tolist():
        colour = np.array(label_colour(scheme, value)) / 255
        picture[seen == value] = 0.25 * picture[seen == value] + 0.75 * colour
    shares = scan.spacing_mm[list(others)] / scan.spacing_mm.min()
    steps = [
        (np.arange(round(size * share)) / share).astype(int)
        for size, share in zip(seen.shape, shares, strict=True)
    ]
    return picture[np.ix_(*steps)][::-1, ::-1].transpose(1, 0, 2)
