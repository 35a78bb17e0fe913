"""Voxels and field of view of a scan, and the grid that follows from them."""

from dataclasses import dataclass, replace

import numpy as np
from nibabel import orientations

from spinalroots.imaging.volume import Grid
from spinalroots.phantom.spine import Curve
from spinalroots.phantom.subject import Subject
from spinalroots.settings.phantom import Phantom

IN_PLANE_MM, SLICE_MM = (0.4, 1.2), (0.5, 5.0)
"""Voxel edges of any clinical protocol."""


@dataclass(frozen=True)
class Acquisition:
    """Where the scanner looked: voxel edges in mm (RAS+ axes), field of view, stored axes.

    `parts`: into how many a voxel's edges are cut for the partial volume of roots; the parameters'
    number if not given.
    """

    spacing_mm: tuple[float, float, float]
    slice_axis: int
    orientation: str
    field_mm: tuple[float, float]
    shift_mm: tuple[float, float]
    parts: tuple[int, int, int] | None = None


def draw_acquisition(params: Phantom, rng: np.random.Generator) -> Acquisition:
    """Voxel size and orientation, within the ranges of the parameters."""
    in_plane = float(rng.uniform(*params.in_plane_mm))
    thick = float(rng.uniform(*params.slice_mm))
    sagittal = rng.random() < params.sagittal_share
    in_plane, thick = round(in_plane, 3), round(thick, 3)
    if sagittal:  # slices stacked from left to right, thinner so that roots stay visible
        spacing = (round((in_plane + thick) / 2, 3), in_plane, in_plane)
    else:
        spacing = (in_plane, in_plane, thick)
    return Acquisition(
        spacing_mm=spacing,
        slice_axis=0 if sagittal else 2,
        orientation=str(rng.choice(params.orientations)),
        field_mm=tuple(float(size * rng.uniform(0.97, 1.05)) for size in params.field_mm),
        shift_mm=(float(rng.normal(0, 2)), float(rng.normal(0, 2))),
    )


def draw_wider_acquisition(acquisition: Acquisition, rng: np.random.Generator) -> Acquisition:
    """The same scan with coarser or thicker voxels; in some the field of view cuts the sac."""
    factor = np.full(3, rng.uniform(1.0, 1.3))
    factor[acquisition.slice_axis] = rng.uniform(0.9, 1.8 if acquisition.slice_axis == 2 else 1.3)
    field, shift = acquisition.field_mm, acquisition.shift_mm
    if rng.random() < 0.3:
        field = (float(rng.uniform(32.0, 50.0)), field[1])
        shift = (float(rng.normal(0, 5.0)), shift[1])
    return replace(
        acquisition,
        spacing_mm=tuple(
            round(float(edge * by), 3)
            for edge, by in zip(acquisition.spacing_mm, factor, strict=True)
        ),
        field_mm=field,
        shift_mm=shift,
    )


def draw_any_voxels(
    acquisition: Acquisition, params: Phantom, rng: np.random.Generator
) -> Acquisition:
    """The same scan with voxels of any protocol: 0.4–1.2 mm in plane, slices of 0.5–5 mm.

    A voxel is at least half as large as the parameters' mean one, by thicker slices where
    the plane is fine; a scan then takes at most about twice the time and memory.
    """
    least = 0.5 * np.mean(params.in_plane_mm) ** 2 * np.mean(params.slice_mm)
    in_plane = float(np.exp(rng.uniform(*np.log(IN_PLANE_MM))))
    in_plane = max(in_plane, float(np.sqrt(least / SLICE_MM[1])))
    thick = max(float(np.exp(rng.uniform(*np.log(SLICE_MM)))), float(least / in_plane**2))
    edges = np.full(3, in_plane)
    edges[acquisition.slice_axis] = thick
    parts = np.clip(np.round(params.subvoxels * edges), 1, 3 * params.subvoxels).astype(int)
    return replace(
        acquisition,
        spacing_mm=tuple(round(float(edge), 3) for edge in edges),
        parts=tuple(int(part) for part in parts),
    )


def lay_grid(
    subject: Subject, curve: Curve, acquisition: Acquisition
) -> tuple[tuple[int, int, int], np.ndarray, Grid]:
    """Shape and affine of the RAS+ grid from about T9 to S3, and the grid it is stored on."""
    ends = (subject.discs_mm["T8"] - 6.0, subject.discs_mm["S3"] + 4.0)
    inside = (curve.s >= ends[0]) & (curve.s <= ends[1])
    side = float(curve.x[inside].mean()) + acquisition.shift_mm[0]
    back, front = curve.y[inside].min(), curve.y[inside].max()
    # The sac sits behind the middle of the picture: bodies in front of it, muscle behind.
    middle = float((back + front) / 2) - 2.0 + acquisition.shift_mm[1]
    size = np.array([*acquisition.field_mm, np.ptp(curve.z[inside])])
    size[1] = max(size[1], front - back + 40.0)
    spacing = np.array(acquisition.spacing_mm)
    shape = tuple(int(n) for n in np.ceil(size / spacing))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.round([side - size[0] / 2, middle - size[1] / 2, curve.z[inside].min()], 3)
    turn = orientations.ornt_transform(
        orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(acquisition.orientation)
    )
    stored = tuple(shape[int(axis)] for axis in np.argsort(turn[:, 0]))
    native = Grid(stored, affine @ orientations.inv_ornt_aff(turn, shape))
    return shape, affine, native
