"""From a scan to what HarDNet sees, and back: the stack of squares around the centreline.

The straightened volume (S, S, Z) has a fixed voxel size in plane and along the axis; its middle
column follows the centreline. Grey values are scaled by what lies near the centreline, so that fat
and muscle, which may be cropped away in training data, do not change the roots' contrast.
"""

from dataclasses import dataclass, field

import numpy as np

from spinalroots.errors import InputError
from spinalroots.hardnet.data.landmark import Heights, heights
from spinalroots.imaging.boxes import centreline_box
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.conus import Conus, find_conus
from spinalroots.imaging.resample import resample_axis, resampled_length, same_spacing
from spinalroots.imaging.slices import Squares, cut, place, restore
from spinalroots.imaging.volume import Box, Grid, Volume

MOST_VOX = 2048
"""Edge of a square: a body in 0.2 mm."""


@dataclass(frozen=True)
class GreyValues:
    """How grey values are scaled, by the voxels near the centreline: cord and sac.

    :param core_mm: radius of what counts as near.
    :param percentiles: of the core; they become 0 and 1.
    :param limits: scaled values are clipped to these: fat or a vessel may be brighter than CSF.
    """

    core_mm: float = 9.0
    percentiles: tuple[float, float] = (2.0, 98.0)
    limits: tuple[float, float] = (-1.0, 2.5)


@dataclass(frozen=True)
class InputSpec:
    """`square_mm`: edge of the square; `voxel_mm`: in plane; `slice_mm`: along the axis, None keeps
    the scan's slices; how grey values are scaled, how the conus is found where nobody knows it, and
    how heights above it are told.

    A trained network carries its own: today's defaults are for new trainings.
    """

    square_mm: float
    voxel_mm: float
    slice_mm: float | None = None
    grey_values: GreyValues = field(default_factory=GreyValues)
    conus: Conus = field(default_factory=Conus)
    heights: Heights = field(default_factory=Heights)

    @property
    def size_vox(self) -> int:
        """Edge of the square in voxels."""
        return max(1, round(self.square_mm / self.voxel_mm))


@dataclass(frozen=True)
class Placement:
    """The way back: `grid` of the scan, `box` of it that the squares need, `squares` inside it."""

    grid: Grid
    box: Box
    squares: Squares


def plan(grid: Grid, centreline: Centreline, spec: InputSpec) -> Placement:
    """Where the squares of a scan on `grid` (RAS+) lie.

    :raises InputError: squares of more than :data:`MOST_VOX` along an edge.
    """
    if spec.size_vox > MOST_VOX:
        raise InputError(
            "model's input",
            expected=f"squares of at most {MOST_VOX} × {MOST_VOX} voxels",
            found=f"{spec.square_mm:g} mm in voxels of {spec.voxel_mm:g} mm",
            fix="Give another model.",
        )
    box = centreline_box(centreline, grid, spec.square_mm / 2 / grid.spacing_mm[:2] + 2)
    part = grid.crop(box)
    thickness = spec.slice_mm or float(grid.spacing_mm[2])
    ratio = 1.0
    if not same_spacing(grid.spacing_mm[2], thickness):
        ratio = thickness / grid.spacing_mm[2]
    step = np.diag([1.0, 1.0, ratio, 1.0])
    step[2, 3] = (ratio - 1) / 2
    slices = resampled_length(grid.shape[2], grid.spacing_mm[2], thickness)
    inner = Grid((*part.shape[:2], slices), part.affine @ step)
    return Placement(grid, box, place(inner, centreline, spec.square_mm, spec.voxel_mm))


def straighten(data: np.ndarray, placement: Placement, *, labels: bool = False) -> np.ndarray:
    """The stack (S, S, Z) of `data` (X, Y, Z); 0 where a square leaves the scan."""
    squares, grid = placement.squares, placement.grid
    part = resample_axis(
        data[placement.box],
        2,
        grid.spacing_mm[2],
        squares.grid.spacing_mm[2],
        squares.grid.shape[2],
        nearest=labels,
    )
    return cut(part, squares, labels=labels)


def bend_back(values: np.ndarray, placement: Placement, *, fill: float = 0) -> np.ndarray:
    """The (..., x, y, Z) box of the scan that a stack (..., S, S, Z) of real numbers shows.

    Put it into the scan at `placement.box`; voxels of the box that no square holds are `fill`.
    """
    squares, grid = placement.squares, placement.grid
    part = restore(values, squares, fill=fill)
    return resample_axis(
        part, part.ndim - 1, squares.grid.spacing_mm[2], grid.spacing_mm[2], grid.shape[2]
    )


def normalised(
    values: np.ndarray, inside: np.ndarray, voxel_mm: float, rule: GreyValues
) -> np.ndarray:
    """Grey values (S, S, Z) scaled so that the core's percentiles become 0 and 1; padding is 0.

    :param inside: (S, S, Z) bool, voxels that lie in the scan (:meth:`Squares.inside`).
    """
    offset = (np.arange(values.shape[0]) - (values.shape[0] - 1) / 2) * voxel_mm
    core = (offset[:, None] ** 2 + offset[None, :] ** 2 <= rule.core_mm**2)[..., None] & inside
    seen = values[core] if core.any() else values[inside]
    if seen.size == 0:
        return np.zeros_like(values)
    low, high = np.percentile(seen, rule.percentiles)
    scaled = (values - low) / max(high - low, 1e-6)
    return np.where(inside, scaled.clip(*rule.limits), 0).astype(np.float32)


@dataclass(frozen=True)
class Stack:
    """What the network sees of a scan: `image` (S, S, Z) float32, normalised, and `heights` (Z,)
    above the conus (:mod:`spinalroots.hardnet.data.landmark`)."""

    image: np.ndarray
    heights: np.ndarray


def network_stack(scan: Volume, centreline: Centreline, spec: InputSpec) -> tuple[Stack, Placement]:
    """A scan's :class:`Stack`, and the way back.

    Heights rest on the conus that comes with the centreline. Without one it is sought in the scan,
    which must then be a whole one, no crop.
    """
    placement = plan(scan.grid, centreline, spec)
    values = straighten(scan.data, placement)
    image = normalised(values, placement.squares.inside(), spec.voxel_mm, spec.grey_values)
    tip_mm = centreline.conus_mm
    if tip_mm is None:
        tip_mm = find_conus(scan, centreline, spec.conus)
    grid = placement.squares.grid
    tip = float(grid.to_voxels(tip_mm)[2])
    slice_mm = float(grid.spacing_mm[2])
    return Stack(image, heights(tip, image.shape[2], slice_mm, spec.heights)), placement
