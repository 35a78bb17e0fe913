"""Published anatomy in numbers: the only place of the phantom where a measurement is spelled.

The heights of the discs are in :mod:`spinalroots.registry.vertebrae`, for whoever counts them.

Lengths in mm. Heights are along the dural sac, positive downwards, zero at the disc T9/T10.
A table marked *derived* has no published counterpart; docs/phantom.md says from what it follows.
"""

from itertools import pairwise

from spinalroots.registry.anatomy import LEVELS

SIMULATED_LEVELS: tuple[str, ...] = LEVELS[LEVELS.index("T9") : LEVELS.index("S4") + 1]
"""Levels with roots in the field of view. S5 is thinner than any voxel and is left out."""

SEGMENT_LENGTH_MM = {
    "T8": 25.5, "T9": 24.0, "T10": 22.0, "T11": 20.5, "T12": 18.5,
    "L1": 17.0, "L2": 13.0, "L3": 11.5, "L4": 10.5, "L5": 8.0,
    "S1": 7.0, "S2": 7.5, "S3": 6.5, "S4": 6.1, "S5": 4.3,
}  # fmt: skip
"""Cord segments: share of a 472.5 mm cord [Frostell 2016, 10.3389/fneur.2016.00238, Table 3]."""

CORD_MM = {
    "T8": (8.5, 5.7), "T10": (8.5, 5.9), "T11": (8.5, 6.0), "T12": (7.6, 6.0),
    "L1": (7.5, 6.2), "L2": (8.2, 6.4), "L3": (8.1, 6.1), "L4": (7.3, 5.6), "L5": (6.3, 4.6),
    "S1": (5.5, 4.0), "S2": (4.3, 2.9), "S3": (2.8, 2.1),
}  # fmt: skip
"""Cord diameter, left-right × antero-posterior, at the middle of the segment [PAM50 labels]."""

SAC_MM = {
    "T8": (13.6, 12.9), "T10": (14.1, 12.9), "T11": (14.0, 13.0), "T12": (14.8, 13.1),
    "L1": (16.1, 14.3), "L2": (15.8, 14.9), "L3": (16.8, 15.7), "L4": (18.5, 16.1),
    "L5": (17.6, 15.7), "S1": (18.9, 17.0), "S2": (20.6, 17.3), "S3": (21.1, 16.4),
}  # fmt: skip
"""Dural sac diameter, left-right × antero-posterior, beside the segment [PAM50 labels]."""

SAC_HEIGHT_MM = {
    "T8": -60.0, "T10": -15.0, "T11": 2.0, "T12": 26.0, "L1": 44.0, "L2": 59.0, "L3": 70.0,
    "L4": 80.0, "L5": 90.0, "S1": 98.0, "S2": 106.0, "S3": 114.0,
}  # fmt: skip
"""Height at which each row of `SAC_MM` was measured, from the vertebra at that height in PAM50."""

LOWER_SAC_MM = {
    "L2": (20.0, 16.2), "L3": (18.8, 15.6), "L4": (17.4, 14.8), "L5": (16.2, 13.8),
    "S1": (13.5, 11.5), "S2": (8.5, 7.0),
}  # fmt: skip
"""Sac diameter at the top of a vertebra below the conus. Derived: the roots leave its sides at
10.9 mm (L1) to 8.1 mm (L5) from the midline [PMID 22744616], and it ends in a point at S2."""

ROOT_EXIT_MM = {
    "T9": -26.5, "T10": -0.5, "T11": 31.5, "T12": 64.0, "L1": 97.0, "L2": 130.9, "L3": 162.5,
    "L4": 191.5, "L5": 217.0, "S1": 241.0, "S2": 262.0, "S3": 278.0, "S4": 283.0,
}  # fmt: skip
"""Height at which a root leaves the sac: at the upper end of the vertebra of the same number,
33.9 mm (L1–L2) to 25.5 mm (L4–L5) apart [PMID 22744616]; the sacral ones are derived."""

EXIT_ANGLE_DEG = {"T9": 54.0, "T11": 52.4, "L1": 42.0, "L5": 25.8, "S1": 22.0, "S4": 16.0}
"""Angle between root and midline in the coronal plane: T11 52.4 ± 3.1, L5 25.8 ± 3.1
[PMID 22744616]; between and beyond them derived."""

CONUS_TIP_MM = (122.0, 9.0)
"""Conus tip, mean and spread: the lower third of L1 [Saifuddin 1998, n = 504]."""

CONUS_TIP_RANGE_MM = (78.0, 163.0)
"""Highest and lowest conus tip: mid-T12 to upper L3 [Saifuddin 1998]."""

SAC_END_MM = (288.0, 8.0)
"""End of the sac, mean and spread: mostly S2 [10.3348/jkrs.1996.34.5.565]."""

SAC_END_RANGE_MM = (258.0, 308.0)
"""Highest and lowest end of the sac. Published: disc L5/S1 to S3; a sac that ends at L5/S1 is not
drawn, because the sacral roots' courses outside the sac are not modelled."""

DORSAL_DIAMETER_MM = {
    "T9": 1.0, "T10": 1.0, "T11": 1.05, "T12": 1.2, "L1": 1.4, "L2": 1.7, "L3": 2.0,
    "L4": 2.15, "L5": 2.35, "S1": 2.6, "S2": 1.75, "S3": 1.1, "S4": 0.6,
}  # fmt: skip
"""Dorsal roots: S1 2.95 ± 0.57, S5 0.27 ± 0.13 [PMID 24605949]; about 1 lower thoracic and 2 at
L3–S1 [Schalow 1985]; L5 2.3–7.7 mm² [Hogan 1996]. The levels between are derived."""

VENTRAL_DIAMETER_MM = {
    "T9": 0.7, "T10": 0.7, "T11": 0.75, "T12": 0.85, "L1": 1.0, "L2": 1.2, "L3": 1.35,
    "L4": 1.4, "L5": 1.42, "S1": 1.43, "S2": 1.05, "S3": 0.7, "S4": 0.4,
}  # fmt: skip
"""Ventral roots: S1 1.43 ± 0.16, rising from T11 to S1 [PMID 24605949]; the anterior area is about
half the posterior [Hogan 1996]. The levels between are derived."""

ROOT_DIAMETER_SPREAD = 0.12
"""Spread of a root's diameter over its mean [S1 ventral 0.16 / 1.43, PMID 24605949]."""

ROOTLETS = {"T9": 4, "T12": 5, "L1": 6, "L3": 7, "L5": 6, "S1": 5, "S2": 4, "S4": 2}
"""Dorsal rootlets of a root: 2–12; S1 5, S5 2 [Hauck 2008]; the others derived. Ventral: about half
(S1 2)."""

ROOTLET_DIAMETER_MM = (0.5, 1.0)
"""Thinnest and thickest rootlet [Hauck 2008]."""


def along_levels(table: dict[str, float], level: str) -> float:
    """Value of a table at a level, linear between the levels that it names, constant beyond.

    >>> along_levels({"L1": 1.0, "L3": 3.0}, "L2")
    2.0
    """
    index = LEVELS.index(level)
    known = sorted((LEVELS.index(name), value) for name, value in table.items())
    if index <= known[0][0]:
        return known[0][1]
    for (low, first), (high, second) in pairwise(known):
        if index <= high:
            return first + (second - first) * (index - low) / (high - low)
    return known[-1][1]
