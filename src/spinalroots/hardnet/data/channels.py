"""Which channels a network input has: neighbouring slices, and the height above the conus."""

import numpy as np


def neighbour_slices(index: int, neighbours: int, slices: int) -> np.ndarray:
    """The (2 neighbours + 1,) slices that a 2D network sees around `index`, ends repeated.

    Distances double, like HarDNet's own links: the next slice tells where a root goes, a far one
    how far the conus is, and with it the level; both for the price of a channel.

    >>> neighbour_slices(20, 3, 100).tolist()
    [16, 18, 19, 20, 21, 22, 24]
    """
    steps = 2 ** np.arange(neighbours)
    return np.clip(index + np.concatenate([-steps[::-1], [0], steps]), 0, slices - 1)


def with_height(image: np.ndarray, heights: np.ndarray, start: int, depth: int) -> np.ndarray:
    """(C, *spatial) with one channel more: the heights of `depth` slices from `start`.

    One value for a 2D input; along the last axis in 3D, where the end values go on.
    """
    seen = heights[np.clip(np.arange(start, start + depth), 0, len(heights) - 1)]
    channel = np.broadcast_to(seen.astype(np.float32), image.shape[1:])
    return np.concatenate([image, channel[None]])
