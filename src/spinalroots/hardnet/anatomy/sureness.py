"""How sure the anatomy network may be: temperatures from phantoms that it has not learnt from."""

from typing import NamedTuple

import numpy as np

from spinalroots.hardnet.anatomy.classes import ROOT, ROOT_LABEL, ROOT_OUTSIDE_LABEL
from spinalroots.hardnet.anatomy.predictor import Chances
from spinalroots.inference.doubt import Temperatures, temperature
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels

ASKED = 0.01
"""Chance of root below which a voxel says nothing: nearly the whole scan lies there."""
FOUND = 0.5
"""Chance of root from which a voxel is asked for its name, whatever is drawn."""


class Answers(NamedTuple):
    """What a scan's voxels say: chances (2, N) of no root and root, and whether there is one (N,);
    of those of at least `FOUND`, chances (names + 1, M) and the number of the true one (M,)."""

    root_chances: np.ndarray
    is_root: np.ndarray
    name_chances: np.ndarray
    name: np.ndarray


def answers(
    found: Chances, target: Target, anatomy: np.ndarray, individuals: np.ndarray
) -> Answers:
    """Chances against the truth.

    :param target: of the predictor, by level.
    :param anatomy: of the scan (X, Y, Z), values of :mod:`.classes`; `individuals` the same, every
        root.
    """
    anatomy, individuals = anatomy[found.box], individuals[found.box]
    chance = found.tissues[ROOT]
    asked = (chance >= ASKED) & (anatomy != ROOT_OUTSIDE_LABEL)
    yes = chance[asked]
    roots = (chance >= FOUND) & (anatomy == ROOT_LABEL)
    dorsal = Target(Scheme.INDIVIDUALS, target.levels, target.types)
    named = individuals_to_levels(dorsal.decode(dorsal.encode(individuals[roots])))
    name = np.where(named > 0, target.encode(named).astype(int) - 1, len(target.levels))
    is_root = (anatomy[asked] == ROOT_LABEL).astype(int)
    return Answers(np.stack([1 - yes, yes]), is_root, found.roots[:, roots], name)


def temperatures(scans: list[Answers]) -> Temperatures:
    """Those that fit the answers of several scans best."""
    if not scans:
        return Temperatures()
    root, is_root, name, is_name = (
        np.concatenate(parts, axis=-1) for parts in zip(*scans, strict=True)
    )
    return Temperatures(root=temperature(root, is_root), name=temperature(name, is_name))
