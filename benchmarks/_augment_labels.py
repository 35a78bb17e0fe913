"""How label maps fare under the default spatial transforms, by several methods.

`python -m benchmarks._augment_labels` prints the table of docs/augmentation.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from spinalroots.augment import labels, transforms
from spinalroots.imaging.components import components
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import REFINED_ROOTS

SHAPE = (60, 80, 280)
SPACING_MM = (0.9, 0.9, 1.2)


def root_curves(seed: int) -> list[np.ndarray]:
    """22 smooth curves (400, 3) in voxels, close together towards the bottom."""
    rng = np.random.default_rng([0, seed])
    along = np.linspace(0, 1, 400)
    curves = []
    for index in range(len(REFINED_ROOTS)):
        rank, side = index // 2, 1 if index % 2 else -1
        top = SHAPE[2] * (0.9 - 0.045 * rank)
        bottom = max(top - SHAPE[2] * rng.uniform(0.25, 0.4), 0.06 * SHAPE[2])
        x = SHAPE[0] / 2 + side * (3 + 2 * (rank % 4) + 6 * along**2)
        y = SHAPE[1] / 2 + 1.5 * rank - 8 + 4 * np.sin(2 * along + rng.uniform(0, 3))
        curves.append(np.stack([x, y, top + (bottom - top) * along], axis=1))
    return curves


def rasterise(curves: list[np.ndarray], radius_vox: float) -> np.ndarray:
    """Individual map (uint8) of tubes around the curves; the nearest curve wins."""
    from scipy.spatial import cKDTree

    best = np.full(SHAPE, radius_vox)
    result = np.zeros(SHAPE, np.uint8)
    for root, curve in zip(REFINED_ROOTS, curves, strict=True):
        low = np.floor(curve.min(axis=0) - 3).astype(int).clip(0)
        high = np.minimum(np.ceil(curve.max(axis=0) + 4).astype(int), SHAPE)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.stack(np.mgrid[box], axis=-1)
        distance = cKDTree(curve).query(grid.reshape(-1, 3))[0].reshape(grid.shape[:3])
        inside = distance < best[box]
        best[box][inside] = distance[inside]
        result[box][inside] = root.value
    return result


def methods() -> dict[str, Callable]:
    """Ways to warp a label map: (labels, plan, source coordinates) → labels."""
    import SimpleITK as sitk

    def itk(interpolator):
        def warp(roots, plan, source):
            template = transforms._scalar_image(roots.astype(np.float32), SPACING_MM)
            image = sitk.Cast(template.as_sitk(), sitk.sitkUInt8)
            transform = transforms._itk_transform(plan, template)
            moved = sitk.Resample(image, image, transform, interpolator, 0.0, sitk.sitkUInt8)
            return sitk.GetArrayFromImage(moved).transpose(2, 1, 0)

        return warp

    return {
        "nearest neighbour": lambda roots, plan, source: labels.nearest(roots, source),
        "ITK label Gaussian": itk(sitk.sitkLabelGaussian),
        "ITK label linear": itk(sitk.sitkLabelLinear),
        "shares": lambda roots, plan, source: _without_bridges(roots, source),
        "shares + bridges": lambda roots, plan, source: labels.warp_threads(
            roots.astype(np.int32), source
        ),
    }


def _without_bridges(roots: np.ndarray, source: np.ndarray) -> np.ndarray:
    parts, label_of_part = components(roots.astype(np.int32))
    voxels, owners, shares = labels.part_shares(parts, source)
    kept = labels._largest_shares(voxels, owners, shares)
    result = np.zeros(roots.size, np.uint8)
    result[voxels[kept]] = label_of_part[owners[kept] - 1]
    return result.reshape(roots.shape)


def sample_draws(augment, draws: int, radius_vox: float) -> Iterator[tuple]:
    """(labels, plan, source coordinates, labels drawn anew around the moved curves)."""
    from scipy import ndimage

    for index in range(draws):
        curves = root_curves(index)
        plan = transforms.draw(augment, np.random.default_rng([1, index]), transforms.SPATIAL)
        source = transforms.source_coordinates(plan, SHAPE, SPACING_MM)
        shift = source - np.indices(SHAPE, dtype=np.float32)
        moved = []
        for curve in curves:
            place = curve.copy()
            for _ in range(25):
                at = [
                    ndimage.map_coordinates(axis, place.T, order=1, mode="nearest")
                    for axis in shift
                ]
                place = curve - np.stack(at, axis=1)
            moved.append(place)
        yield rasterise(curves, radius_vox), plan, source, rasterise(moved, radius_vox)


def score_methods(augment, draws: int, radius_vox: float) -> dict[str, dict[str, float]]:
    """Share of one-piece roots left whole (%), Dice to the redrawn roots, volume ratio, seconds."""
    totals = {name: np.zeros(5) for name in methods()}
    for roots, plan, source, truth in sample_draws(augment, draws, radius_vox):
        inside = [
            root.value
            for root in REFINED_ROOTS
            if _pieces(roots == root.value) == 1
            and not _touches_border(truth == root.value)
            and (truth == root.value).any()
        ]
        for name, warp in methods().items():
            begin = time.process_time()
            moved = warp(roots, plan, source)
            seconds = time.process_time() - begin
            for value in inside:
                ours, true = moved == value, truth == value
                dice = 2 * (ours & true).sum() / max(ours.sum() + true.sum(), 1)
                whole = _pieces(ours) == 1
                totals[name] += (1, whole, dice, ours.sum() / true.sum(), seconds / len(inside))
    return {
        name: {
            "whole": 100 * whole / count,
            "dice": dice / count,
            "volume": volume / count,
            "seconds": seconds / draws,
            "roots": count,
        }
        for name, (count, whole, dice, volume, seconds) in totals.items()
    }


def _pieces(mask: np.ndarray) -> int:
    from scipy import ndimage

    return ndimage.label(mask, np.ones((3, 3, 3)))[1]


def _touches_border(mask: np.ndarray) -> bool:
    return any(mask.take(edge, axis).any() for axis in range(3) for edge in (0, -1))


def compare_label_methods(draws: int = 20) -> None:
    """Print the comparison as a Markdown table."""
    augment = params.load("params.yaml", scale="laptop").augment
    print("| radius (voxels) | method | one piece | Dice | volume | s per case | roots |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for radius in (0.7, 0.9, 1.2):
        for name, score in score_methods(augment, draws, radius).items():
            print(
                f"| {radius} | {name} | {score['whole']:.1f} % | {score['dice']:.3f} "
                f"| {score['volume']:.2f} | {score['seconds']:.2f} | {score['roots']:.0f} |"
            )


if __name__ == "__main__":
    compare_label_methods()
