"""How often a case is drawn."""

from __future__ import annotations


def by_size(voxels: dict[str, int], patch_voxels: int) -> list[str]:
    """Cases, each named as often as patches fit into it, at least once.

    >>> by_size({"scan": 900, "crop": 120}, 300)
    ['scan', 'scan', 'scan', 'crop']
    """
    return [
        case for case, size in voxels.items() for _ in range(max(1, round(size / patch_voxels)))
    ]
