"""From which case a patch is taken, and which root it is placed on, so that rare roots are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spinalroots.hardnet.data.patches import PatchShape, draw_patch, take_patch
from spinalroots.hardnet.data.stacks import TrainingStack

TRIED = 48
"""Patches on each root, and anywhere, from which is known what a patch shows."""

ROUNDS = 60
"""The chances are changed at most so often."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Chances by which a patch gets its case and its root.

    `classes` (K,): every root class that occurs; `chances` (K,): of each of them. `of_class` (K,
    N): of every case when the patch is placed on that class, by the case's voxels of it.
    `by_length` (N,): of every case when it is placed anywhere, so that the many short crops that
    were made for rare levels do not crowd out whole scans.
    """

    classes: np.ndarray
    chances: np.ndarray
    of_class: np.ndarray
    by_length: np.ndarray

    def __call__(
        self,
        stacks: Sequence[TrainingStack],
        shape: PatchShape,
        rng: np.random.Generator,
        foreground: float,
    ) -> tuple[TrainingStack, np.ndarray]:
        """A case, and the first voxel (3,) of a patch in it; with chance `foreground` it holds a
        root."""
        if len(self.classes) and rng.random() < foreground:
            kind = rng.choice(len(self.classes), p=self.chances)
            stack = stacks[rng.choice(len(stacks), p=self.of_class[kind])]
            return stack, draw_patch(stack, shape, rng, int(self.classes[kind]))
        stack = stacks[rng.choice(len(stacks), p=self.by_length)]
        return stack, draw_patch(stack, shape, rng)


def even_draws(stacks: Sequence[TrainingStack]) -> Draws:
    """Every root class as often as any other."""
    counted = [
        (stack.classes.shape[2], {root: len(found) for root, found in stack.root_voxels.items()})
        for stack in stacks
    ]
    classes = np.array(sorted({root for _, roots in counted for root in roots}), int)
    voxels = np.array([[roots.get(root, 0) for _, roots in counted] for root in classes], float)
    lengths = np.array([length for length, _ in counted], float)
    return Draws(
        classes,
        np.full(len(classes), 1 / max(1, len(classes))),
        voxels / voxels.sum(axis=1, keepdims=True) if len(classes) else np.empty((0, len(stacks))),
        lengths / lengths.sum(),
    )


def balanced_draws(
    stacks: Sequence[TrainingStack],
    shape: PatchShape,
    *,
    foreground: float,
    ratio: float,
    seed: int,
) -> Draws:
    """Chances under which the voxels of the rarest class are `ratio` of the median class's in what
    the patches show, or as near to it as can be.

    A patch on one root shows its neighbours too: how many voxels of each is found by trial, and the
    chances then follow from that.
    """
    draws = even_draws(stacks)
    if ratio == 0 or foreground == 0 or len(draws.classes) < 2:
        return draws
    rng = np.random.default_rng([seed, len(stacks)])
    on_root = np.stack([_shown(draws, stacks, shape, rng, kind) for kind in draws.classes])
    anywhere = _shown(draws, stacks, shape, rng, None)
    chances, best = draws.chances, (-1.0, draws.chances)
    for _ in range(ROUNDS):
        seen = foreground * chances @ on_root + (1 - foreground) * anywhere
        best = max(best, (seen.min() / np.median(seen), chances), key=lambda one: one[0])
        if best[0] >= ratio:
            break
        chances = chances * np.sqrt(np.median(seen) / np.maximum(seen, 1e-9))
        chances = chances / chances.sum()
    return Draws(draws.classes, best[1], draws.of_class, draws.by_length)


def _shown(
    draws: Draws,
    stacks: Sequence[TrainingStack],
    shape: PatchShape,
    rng: np.random.Generator,
    kind: int | None,
) -> np.ndarray:
    """Mean voxels (K,) of each class in patches on the class `kind`, or anywhere."""
    row = draws.by_length if kind is None else draws.of_class[draws.classes == kind][0]
    total = np.zeros(256)
    for _ in range(TRIED):
        stack = stacks[rng.choice(len(stacks), p=row)]
        start = draw_patch(stack, shape, rng, kind)
        total += np.bincount(take_patch(stack, shape, start)[1].ravel(), minlength=256)
    return total[draws.classes] / TRIED
