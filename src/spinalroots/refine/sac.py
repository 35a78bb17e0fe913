"""Roots that only a tissue map shows: marked there, or left out of the dural sac."""

import numpy as np
from scipy.ndimage import binary_closing, binary_fill_holes

from spinalroots.registry.anatomy import TISSUES

CORD, CSF, ROOTS = (TISSUES.index(name) + 1 for name in ("WM", "CSF", "roots"))
GAP_MM = 3.0
"""Gaps in the sac's wall up to twice as wide are bridged: roots lie against the dura."""


def shows_roots(tissues: np.ndarray | None) -> bool:
    """Whether a map marks roots, or its CSF has holes that say something: with the cord unmarked,
    it would be one of them."""
    present = set() if tissues is None else set(np.unique(tissues).tolist())
    return ROOTS in present or {CORD, CSF} <= present


def roots_in_tissues(tissues: np.ndarray, roots: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Mask (X, Y, Z) bool of the roots that a tissue map marks. One that marks none leaves them
    out: what lies in the sac and is neither cord nor CSF, slice by slice (axes RAS+), is a root, or
    a thread that looks like one.

    :param tissues: tissue map (X, Y, Z), see :mod:`spinalroots.registry.anatomy`.
    :param roots: (X, Y, Z), non-zero where a root is known; the sac's outline may run along it.
    """
    marked = tissues == ROOTS
    if marked.any():
        return marked
    reach = np.ceil(GAP_MM / spacing_mm[:2]).astype(int)
    across, forward = (np.arange(-n, n + 1) for n in reach)
    around = np.hypot(across[:, None] * spacing_mm[0], forward * spacing_mm[1]) <= GAP_MM
    content = np.isin(tissues, (CORD, CSF)) | (roots != 0)
    padded = np.pad(content, [(n, n) for n in reach] + [(0, 0)])
    filled = binary_closing(padded, around[..., None])
    filled = filled[reach[0] : -reach[0], reach[1] : -reach[1]]
    for index in np.flatnonzero(content.any(axis=(0, 1))):
        filled[..., index] = binary_fill_holes(filled[..., index])
    return filled & (tissues == 0)
