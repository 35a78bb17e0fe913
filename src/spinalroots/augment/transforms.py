"""One augmented variant of a scan: draw its parameters, apply them, replay them from a record.

Every transform is torchio's (Perez-Garcia et al. 2021, 10.1016/j.cmpb.2021.106236). `draw` turns
limits and a random generator into a *recipe*, a dict of plain numbers that goes into a JSON file;
`apply_arrays` turns a recipe and arrays into arrays and never draws anything, so a record replays
exactly. The two spatial transforms are joined into one map and the scan is interpolated once.

Axes are RAS+ ``(X, Y, Z)`` and angles, millimetres and origins follow the voxel axes. Transforms
that could make a label wrong are left out; the one mirror, left/right, exchanges the labels too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from spinalroots.augment.labels import warp_labels
from spinalroots.errors import InputError
from spinalroots.registry.anatomy import Scheme, swap_sides
from spinalroots.settings.augment import Augment, Transforms

if TYPE_CHECKING:
    import torchio as tio

Recipe = dict[str, dict[str, Any]]
"""Transform name → its drawn arguments; only what happens is listed."""

SPATIAL = ("flip", "rotation", "translation", "scaling", "elastic")
"""Transforms that move anatomy: they act on the scan and on every label map."""

INTENSITY = (
    "gamma", "bias_field", "blur", "anisotropy", "motion", "ghosting", "spikes", "noise",
)  # fmt: skip
"""Transforms of grey values only, in the order in which they are applied."""

ROBUST_PERCENTILE = 99.5
"""Grey values are divided by this percentile of the scan, so that limits need no scanner's unit."""

BSPLINE_ORDER = 3
FOLDING_SHARE = 0.25
"""Displacements stay below this share of the control points' spacing: half could fold (torchio)."""


def draw(
    augment: Augment | Transforms, rng: np.random.Generator, only: Collection[str] | None = None
) -> Recipe:
    """A recipe drawn within the limits of `augment`.

    :param only: names that may occur; None allows all. Each
        transform has random numbers of its own, so leaving one out does not change another.
    """
    limits = getattr(augment, "transforms", augment)
    unknown = set(only or ()) - set(SPATIAL + INTENSITY)
    if unknown:
        raise InputError(
            "augmentation",
            expected=f"transforms among {', '.join(SPATIAL + INTENSITY)}",
            found=", ".join(sorted(unknown)),
            fix="Correct the names.",
        )
    recipe: Recipe = {}
    streams = rng.spawn(len(SPATIAL + INTENSITY))
    for name, stream in zip(SPATIAL + INTENSITY, streams, strict=True):
        if only is not None and name not in only:
            continue
        limit = getattr(limits, name)
        if stream.random() < limit.probability:
            recipe[name] = _DRAW[name](limit, stream)
    return recipe


def apply_arrays(
    recipe: Recipe,
    image: np.ndarray,
    label_maps: Mapping[Scheme, np.ndarray],
    spacing_mm: Collection[float],
) -> tuple[np.ndarray, dict[Scheme, np.ndarray]]:
    """Scan and label maps with the recipe applied, on the same grid.

    :param image: (X, Y, Z) float32, any unit and offset.
    :param label_maps: scheme → (X, Y, Z) uint8 stored label values.
        Thin roots stay connected and the root schemes agree with each other (:func:`warp_labels`).
    :param spacing_mm: (3,) voxel edges.
    :returns: new arrays; voxels from outside the scan repeat its border and carry no label.
    """
    maps = dict(label_maps)
    if "flip" in recipe:
        image, maps = mirror(image, maps)
    if any(name in recipe for name in SPATIAL[1:]):
        source = source_coordinates(recipe, image.shape, spacing_mm)
        image = _interpolate(image, source)
        maps = warp_labels(maps, source)
    image = _change_intensity(recipe, np.ascontiguousarray(image, np.float32), spacing_mm)
    return image, {scheme: np.ascontiguousarray(labels) for scheme, labels in maps.items()}


def mirror(
    image: np.ndarray, label_maps: Mapping[Scheme, np.ndarray]
) -> tuple[np.ndarray, dict[Scheme, np.ndarray]]:
    """Left and right exchanged, in the voxels and in the names of the roots."""
    flipped = {scheme: labels[::-1] for scheme, labels in label_maps.items()}
    if Scheme.INDIVIDUALS in flipped:
        flipped[Scheme.INDIVIDUALS] = swap_sides(flipped[Scheme.INDIVIDUALS])
    return image[::-1], flipped


def source_coordinates(
    recipe: Recipe, shape: tuple[int, int, int], spacing_mm: Collection[float]
) -> np.ndarray:
    """Where each voxel of the result comes from: (3, X, Y, Z) float32 voxel coordinates."""
    import SimpleITK as sitk

    template = _scalar_image(np.zeros(shape, np.float32), spacing_mm)
    transform = _itk_transform(recipe, template)
    grid = template.as_sitk(force_3d=True)
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat32,
        grid.GetSize(),
        grid.GetOrigin(),
        grid.GetSpacing(),
        grid.GetDirection(),
    )
    shift_lps_mm = sitk.GetArrayViewFromImage(field).transpose(3, 2, 1, 0)
    per_mm = np.array([-1.0, -1.0, 1.0]) / np.asarray(spacing_mm, float)
    source = shift_lps_mm * per_mm.astype(np.float32)[:, None, None, None]
    for axis, length in enumerate(shape):
        steps = np.arange(length, dtype=np.float32)
        source[axis] += steps.reshape([-1 if other == axis else 1 for other in range(3)])
    return source


def middle_slices(
    recipe: Recipe, shape: tuple[int, int, int], spacing_mm: Collection[float], slices: np.ndarray
) -> np.ndarray:
    """Third coordinate (N,), in voxels, of where the middles of `slices` (N,) come from.

    The same as :func:`source_coordinates` says there, without the other voxels.
    """
    if not any(name in recipe for name in SPATIAL[1:]):
        return np.asarray(slices, float)
    transform = _itk_transform(recipe, _scalar_image(np.zeros(shape, np.float32), spacing_mm))
    across, deep, thick = map(float, spacing_mm)
    right, front = -(shape[0] // 2) * across, -(shape[1] // 2) * deep
    return np.array(
        [transform.TransformPoint((right, front, one * thick))[2] / thick for one in slices]
    )


def _itk_transform(recipe: Recipe, template: tio.ScalarImage):
    """Result → source transform of the recipe's rotation, scaling, translation and elastic part."""
    import SimpleITK as sitk
    import torchio as tio

    affine = tio.Affine(
        scales=recipe.get("scaling", {}).get("factors", (1, 1, 1)),
        degrees=recipe.get("rotation", {}).get("degrees", (0, 0, 0)),
        translation=recipe.get("translation", {}).get("offset_mm", (0, 0, 0)),
    ).get_affine_transform(template)
    if "elastic" not in recipe:
        return affine
    drawn = recipe["elastic"]
    control_points = np.asarray(drawn["directions"], float)
    extent_mm = np.array(template.spatial_shape) * template.spacing
    spacing_of_points_mm = extent_mm / (np.array(control_points.shape[:3]) - BSPLINE_ORDER)
    reach_mm = np.minimum(drawn["limit_mm"], FOLDING_SHARE * spacing_of_points_mm)
    elastic = tio.ElasticDeformation(control_points * reach_mm, tuple(reach_mm))
    spline = elastic.get_bspline_transform(template.as_sitk(force_3d=True))
    return sitk.CompositeTransform([affine, spline])


def _interpolate(image: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Cubic spline interpolation, kept within the scan's range; its border repeats outside."""
    from scipy import ndimage

    smooth = ndimage.map_coordinates(image, source, order=3, mode="nearest", output=np.float32)
    return smooth.clip(image.min(), image.max(), out=smooth)


def _change_intensity(
    recipe: Recipe, image: np.ndarray, spacing_mm: Collection[float]
) -> np.ndarray:
    """The recipe's grey-value transforms on a scan brought to about 0…1, and its unit back."""
    names = [name for name in INTENSITY if name in recipe]
    if not names:
        return image
    import torchio as tio

    low = float(image.min())
    span = float(np.percentile(image, ROBUST_PERCENTILE)) - low or 1.0
    subject = tio.Subject(scan=_scalar_image((image - low) / span, spacing_mm))
    for name in names:
        for transform in _torchio_transforms(name, recipe[name], subject.scan):
            # The subject is ours alone: without the copy that calling a transform makes of it.
            subject = transform.apply_transform(subject)
    changed = subject.scan.data[0].numpy().clip(min=0)
    return (changed * span + low).astype(np.float32)


def _scalar_image(image: np.ndarray, spacing_mm: Collection[float]) -> tio.ScalarImage:
    import torch
    import torchio as tio

    affine = np.diag([*map(float, spacing_mm), 1.0])
    return tio.ScalarImage(
        tensor=torch.from_numpy(np.ascontiguousarray(image)[None]), affine=affine
    )


# --- Draw: limits and a generator → plain numbers -------------------------------------------------


def _rounded(values: Any, digits: int = 4) -> Any:
    return np.round(values, digits).tolist()


def _symmetric(limit: ArrayLike, rng: np.random.Generator) -> Any:
    limit = np.asarray(limit, float)
    return _rounded(rng.uniform(-limit, limit))


_DRAW: dict[str, Callable[[Any, np.random.Generator], dict]] = {
    "flip": lambda limit, rng: {"axis": "left-right"},
    "rotation": lambda limit, rng: {"degrees": _symmetric(limit.limit_deg, rng)},
    "translation": lambda limit, rng: {"offset_mm": _symmetric(limit.limit_mm, rng)},
    "scaling": lambda limit, rng: {
        "factors": _rounded(1 + np.asarray(_symmetric([limit.limit_percent] * 3, rng)) / 100)
    },
    "elastic": lambda limit, rng: {
        "limit_mm": limit.limit_mm,
        "directions": _rounded(rng.uniform(-1, 1, (*limit.control_points, 3)), 3),
    },
    "gamma": lambda limit, rng: {"exponent": _rounded(math.exp(_symmetric(limit.limit_log, rng)))},
    "bias_field": lambda limit, rng: {
        "order": limit.order,
        "coefficients": _symmetric([limit.limit] * math.comb(limit.order + 3, 3), rng),
    },
    "blur": lambda limit, rng: {"sigma_mm": _rounded(rng.uniform(0, limit.limit_mm))},
    "anisotropy": lambda limit, rng: {
        "axis": int(rng.choice(limit.axes)),
        "factor": _rounded(rng.uniform(1, limit.limit_factor)),
    },
    "motion": lambda limit, rng: {
        "degrees": _symmetric([[limit.limit_deg] * 3] * limit.moves, rng),
        "offset_mm": _symmetric([[limit.limit_mm] * 3] * limit.moves, rng),
        "times": sorted(_rounded(rng.uniform(0.05, 0.95, limit.moves))),
    },
    "ghosting": lambda limit, rng: {
        "ghosts": int(rng.integers(limit.ghosts[0], limit.ghosts[1] + 1)),
        "axis": int(rng.choice(limit.axes)),
        "intensity": _rounded(rng.uniform(0, limit.limit)),
    },
    "spikes": lambda limit, rng: {
        "positions": _rounded(rng.uniform(0.25, 0.75, (limit.spikes, 3))),
        "intensity": _symmetric(limit.limit, rng),
    },
    "noise": lambda limit, rng: {
        "sigma": _rounded(rng.uniform(0, limit.limit)),
        "seed": int(rng.integers(2**31)),
    },
}


# --- Apply: plain numbers → torchio's deterministic transforms ------------------------------------


def _torchio_transforms(name: str, drawn: dict[str, Any], scan: tio.ScalarImage) -> list:
    """torchio's transforms, one after the other, for one drawn change of grey values."""
    import torchio as tio

    match name:
        case "gamma":
            return [tio.Gamma(drawn["exponent"])]
        case "bias_field":
            return [tio.BiasField(drawn["coefficients"], drawn["order"])]
        case "blur":
            return [tio.Blur((drawn["sigma_mm"],) * 3)]
        case "anisotropy":
            return _thicker_slices(scan, drawn["axis"], drawn["factor"])
        case "motion":
            moves = (np.asarray(drawn[key], float) for key in ("degrees", "offset_mm", "times"))
            return [tio.Motion(*moves, image_interpolation="linear")]
        case "ghosting":
            return [tio.Ghosting(drawn["ghosts"], drawn["axis"], drawn["intensity"], restore=0.02)]
        case "spikes":
            return [tio.Spike(np.asarray(drawn["positions"], float), drawn["intensity"])]
        case "noise":
            return [_seeded_noise(drawn["sigma"], drawn["seed"])]
    raise InputError(
        "augmentation recipe",
        expected=f"a transform among {', '.join(INTENSITY)}",
        found=repr(name),
        fix="Replay the record with the version that wrote it.",
    )


def _seeded_noise(sigma: float, seed: int):
    """torchio's noise, the same numbers from a generator of its own: seeding torch as a whole, as
    torchio does, costs a patch more than everything else."""
    import torch
    import torchio as tio

    class Noise(tio.Noise):
        def apply_transform(self, subject: tio.Subject) -> tio.Subject:
            generator = torch.Generator().manual_seed(seed)
            for image in self.get_images(subject):
                noise = torch.randn(image.data.shape, generator=generator)
                image.set_data(image.data + noise * sigma)
            return subject

    return Noise(0.0, sigma, seed)


def _thicker_slices(scan: tio.ScalarImage, axis: int, factor: float) -> list:
    """The profile of a thick slice as a blur along the axis, then sampling down and up again."""
    import torchio as tio

    spacing_mm = list(scan.spacing)
    fwhm_mm = factor * spacing_mm[axis]
    sigma_mm = [0.0, 0.0, 0.0]
    sigma_mm[axis] = fwhm_mm / (2 * math.sqrt(2 * math.log(2)))
    spacing_mm[axis] *= factor
    return [
        tio.Blur(tuple(sigma_mm)),
        tio.Resample(tuple(spacing_mm)),
        tio.Resample((scan.spatial_shape, scan.affine)),
    ]
