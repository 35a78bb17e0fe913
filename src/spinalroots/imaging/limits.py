"""How much a file may claim: what is more is refused before memory is taken for it."""

from pathlib import Path

import numpy as np

from spinalroots.errors import InputError

MAX_VOXELS = 2**28
"""Most voxels of a file, a whole spine at 0.4 mm: a header that claims more is damaged or hostile,
and is refused before memory is taken for it."""
MAX_PACKED = 1032
"""Bytes that a byte of a `.gz` file can unpack to (deflate's limit)."""


def require_bytes(path: Path, claimed: float, there: float, *, packed: bool) -> None:
    """:class:`InputError` if a file of `there` bytes cannot hold what its header claims.

    :param packed: whether the file is compressed; it then holds a thousand times its size.
    """
    if claimed > there * (MAX_PACKED if packed else 1):
        raise InputError(
            path,
            expected="a complete file",
            found=f"a truncated or damaged one: its header claims {claimed:.0f} bytes of voxels, "
            f"the file has {there:.0f}",
            fix="Copy or export it again.",
        )


def require_volume(path: Path, shape: tuple[int, ...]) -> None:
    """:class:`InputError` unless `shape` is a volume's and not too large; last axes of 1 go."""
    if len(shape) < 3 or min(shape[:3]) < 2 or np.prod(shape[3:], dtype=float) != 1:
        raise InputError(
            path,
            expected="one 3D volume",
            found=f"{len(shape)}D data of shape {tuple(map(int, shape))}",
            fix="Split the series and give one volume.",
        )
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(
            path,
            expected=f"at most {MAX_VOXELS // 10**6} million voxels",
            found=f"a header that claims {'×'.join(map(str, shape))}",
            fix="Crop the scan to the lower spine, or export it again.",
        )
