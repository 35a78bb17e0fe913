"""Volumes in and out of NIfTI files.

Inside the project every volume is RAS+ (axis 0 rises towards the patient's right, 1 anterior, 2
superior), images float32 and labels uint8. A volume remembers the grid that it came from, so that
what goes back to a person lies on the scan's own grid: axes are permuted and flipped, nothing is
resampled.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from nibabel.affines import apply_affine, voxel_sizes

from spinalroots.errors import InputError
from spinalroots.files import write_bytes
from spinalroots.imaging.filling import filled_up
from spinalroots.imaging.opening import open_image, voxels
from spinalroots.imaging.placement import (
    APART_VOX,
    EXTENT_MM,
    Forms,
    Place,
    apart_mm,
    place_of,
    usable,
)

GRID_TOLERANCE_MM = 1e-2
"""Two grids are the same when no voxel centre lies further apart than this."""

WHOLE = 1e-3
"""A label may miss its whole number by this: masks come with scales of 1/32767, or as 0.99999."""

LARGEST_MM3 = 5e8
"""A box of 500 × 500 × 2000 mm."""

EXACT = 2**24
"""Whole numbers up to this are exact in float32."""
Box = tuple[slice, ...]
"""One slice an axis, from 0 on; :mod:`spinalroots.imaging.boxes` makes them."""

_RAS = orientations.axcodes2ornt("RAS")


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: `shape` (X, Y, Z) and the voxel → RAS+ mm `affine` (4, 4).

    `forms`: the words of the NIfTI header that it came from, for masks to repeat.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    forms: Forms | None = field(default=None, compare=False, repr=False)

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel edge lengths (3,) in mm."""
        return voxel_sizes(self.affine)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel in mm³."""
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    def to_mm(self, voxels: np.ndarray) -> np.ndarray:
        """RAS+ mm (..., 3) of voxel coordinates (..., 3), whose whole numbers are voxel centres."""
        return apply_affine(self.affine, voxels)

    def to_voxels(self, points_mm: np.ndarray) -> np.ndarray:
        """Voxel coordinates (..., 3) of RAS+ points (..., 3) in mm."""
        return apply_affine(np.linalg.inv(self.affine), points_mm)

    def crop(self, box: Box) -> Grid:
        """The grid of the voxels inside `box`."""
        sides = [side.indices(length) for side, length in zip(box, self.shape, strict=True)]
        affine = self.affine.copy()
        affine[:3, 3] = self.to_mm(np.array([start for start, _, _ in sides]))
        return Grid(tuple(stop - start for start, stop, _ in sides), affine)

    @property
    def orientation(self) -> str:
        """Axis codes such as ``RAS`` or ``PSR``."""
        return "".join(nib.aff2axcodes(self.affine))

    def matches(self, other: Grid) -> bool:
        """Same shape, and no corner voxel further apart than :data:`GRID_TOLERANCE_MM`."""
        if tuple(self.shape) != tuple(other.shape):
            return False
        corners = np.array(list(product(*((0, length - 1) for length in self.shape))))
        apart_mm = np.linalg.norm(self.to_mm(corners) - other.to_mm(corners), axis=1)
        return bool(apart_mm.max() <= GRID_TOLERANCE_MM)

    def __str__(self) -> str:
        spacing = "×".join(f"{value:.3g}" for value in self.spacing_mm)
        origin = ", ".join(f"{value:.2f}" for value in self.affine[:3, 3])
        shape = "×".join(map(str, self.shape))
        return f"{shape} voxels of {spacing} mm, {self.orientation}, origin ({origin})"


@dataclass(frozen=True)
class Volume:
    """Voxels `data` (X, Y, Z) in RAS+ with their `affine` (4, 4) in mm.

    `native` is the grid of the file it came from (None for a volume made in memory); `notes` says
    what was unusual about that file, a sentence each.
    """

    data: np.ndarray
    affine: np.ndarray
    native: Grid | None = None
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """The RAS+ grid that the data lies on."""
        return Grid(tuple(self.data.shape), self.affine)

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel edge lengths (3,) in mm."""
        return self.grid.spacing_mm

    def with_data(self, data: np.ndarray) -> Volume:
        """Other data on the same grid."""
        return replace(self, data=data)

    def crop(self, box: Box) -> Volume:
        """The part inside `box` on its own grid."""
        return Volume(np.ascontiguousarray(self.data[box]), self.grid.crop(box).affine)


def read_image(path: Path, orientation: str | None = None) -> Volume:
    """Read a 3D scan as float32 in RAS+.

    A border without picture (NaN, or a filling such as -1024) gets the darkest grey value.

    :param orientation: how the voxel axes really run, such as ``LAS``: needed for a header that
        does not say, and taken instead of one that is wrong.
    :raises InputError: missing, truncated or unreadable file, not 3D, NaN or infinite voxels, an
        orientation that nobody tells.
    """
    image = open_image(path)
    place = _placed(path, image, orientation)
    return as_scan(path, voxels(path, image), place)


def as_scan(where: Path | str, data: np.ndarray, place: Place) -> Volume:
    """Voxels (X, Y, Z) of a scan as float32 in RAS+.

    :param where: what an error calls it.
    :raises InputError: NaN inside the picture, infinite voxels, or a place or a size that no scan
        has.
    """
    _require_usable(where, place.affine, data.shape)
    large = data.dtype.kind in "iu" and max(-int(data.min()), int(data.max())) > EXACT
    data, notes = filled_up(data.astype(np.float32, copy=False))
    if large:
        notes = (*notes, f"grey values beyond {EXACT} are rounded to 24 bits")
    if not np.isfinite(data).all():
        raise InputError(
            where,
            expected="finite voxel values",
            found=f"{int((~np.isfinite(data)).sum())} NaN or infinite voxels",
            fix="Repair or export the scan again.",
        )
    return replace(_in_ras(data, place), notes=(*place.notes, *notes))


def read_labels(
    path: Path, allowed: set[int] | None = None, orientation: str | None = None
) -> Volume:
    """Read a label map as uint8 in RAS+.

    :param allowed: label values that may occur besides 0; None allows 0..255.
    :param orientation: as of :func:`read_image`.
    :raises InputError: as :func:`read_image`; values that are not whole, or not allowed.
    """
    image = open_image(path)
    data = _labels(path, voxels(path, image))
    values = set(np.unique(data).astype(np.int64).tolist())
    permitted = set(range(256)) if allowed is None else {0, *allowed}
    if unknown := sorted(values - permitted):
        raise InputError(
            path,
            expected=f"label values among {_ranges(permitted)}",
            found=f"unknown label value {', '.join(map(str, unknown[:5]))}",
            fix="Relabel the mask as the label table says.",
        )
    return _in_ras(data.astype(np.uint8), _placed(path, image, orientation))


def _labels(path: Path, data: np.ndarray) -> np.ndarray:
    """Whole numbers, which voxels of a file may miss by :data:`WHOLE`."""
    if data.dtype.kind != "f":
        return data
    whole = np.round(data)
    if not np.isfinite(data).all() or np.abs(data - whole).max(initial=0) > WHOLE:
        raise InputError(
            path,
            expected="whole label values",
            found="NaN or fractional values",
            fix="Give a label map, not an image or a probability map.",
        )
    return whole


def require_same_grid(path: Path | str, mask: Volume, scan_path: Path | str, scan: Volume) -> None:
    """:class:`InputError` unless `mask` lies on the grid of `scan`.

    It does when no voxel lies further off than a tenth of its edge: headers are rounded.
    """
    if mask.grid.shape != scan.grid.shape:
        found = f"{_sizes(mask.grid.shape)} voxels against {_sizes(scan.grid.shape)}"
    else:
        apart = apart_mm(scan.grid.shape, mask.affine, scan.affine)
        if apart <= APART_VOX * float(scan.spacing_mm.min()):
            return
        shift = ", ".join(f"{value:.3g}" for value in mask.affine[:3, 3] - scan.affine[:3, 3])
        edges = " × ".join(f"{value:.4g}" for value in mask.spacing_mm - scan.spacing_mm)
        found = (
            f"the same number of voxels, up to {apart:.3g} mm away: origin moved by ({shift}) mm, "
            f"edges longer by {edges} mm"
        )
    raise InputError(
        path,
        expected=f"the grid of {scan_path} ({scan.grid})",
        found=found,
        fix="Export the mask on its scan's grid.",
    )


def write_volume(path: Path, volume: Volume, *, native: Grid | None = None) -> None:
    """Write a `.nii.gz` file, whole or not at all, the same bytes for the same voxels.

    With `native`, the RAS+ data is first turned back onto that grid (permutation and flips only).

    :raises InputError: `native` is not a permutation or flip of the volume's grid.
    """
    _write(path, as_image(volume, native, path))


def write_probability(path: Path, volume: Volume, *, native: Grid | None = None) -> None:
    """Write probabilities 0..1 in a byte each; every NIfTI reader gets 0..1 back, in 255 steps.

    :raises InputError: as :func:`write_volume`.
    """
    steps = np.round(np.clip(volume.data, 0, 1) * 255).astype(np.uint8)
    image = as_image(volume.with_data(steps), native, path)
    image.header.set_slope_inter(1 / 255, 0)
    _write(path, image)


def rewrite_labels(source: Path, path: Path, table: np.ndarray) -> None:
    """Write the label map `source` with other values, its voxels in their order and at their place.

    The header's words about the place are repeated, all others are not.

    :param table: (256,) uint8, the new value of each value.
    :raises InputError: as :func:`read_labels`.
    """
    labels = read_labels(source)
    write_volume(path, labels.with_data(table[labels.data]), native=labels.native)


def as_image(
    volume: Volume, native: Grid | None = None, path: Path | str = "volume"
) -> nib.Nifti1Image:
    """A RAS+ volume as an image of nibabel, on the grid `native` if given.

    :param path: what an error calls it.
    :raises InputError: as :func:`write_volume`.
    """
    data, affine = volume.data, volume.affine
    if native is not None:
        data, affine = _to_native(path, volume, native), native.affine
    image = nib.Nifti1Image(np.asarray(data), affine)
    if native is not None and native.forms is not None:
        native.forms.put(image.header)
        # With the affine that nibabel reads in them, it leaves these words as they are.
        return nib.Nifti1Image(image.dataobj, image.header.get_best_affine(), image.header)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    rotation = affine[:3, :3] / voxel_sizes(affine)
    if np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-4):
        image.set_qform(affine, code=1)
    return image


def _write(path: Path, image: nib.Nifti1Image) -> None:
    write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=5, mtime=0))


def _placed(
    path: Path, image: nib.spatialimages.SpatialImage, orientation: str | None = None
) -> Place:
    place = place_of(Path(path), image, orientation)
    _require_usable(path, place.affine, image.shape)
    return place


def _require_usable(where: Path | str, affine: np.ndarray, shape: tuple[int, ...]) -> None:
    """:class:`InputError` unless voxels lie somewhere, and a body could have their extent.

    Whatever works in millimetres takes memory by them, and not by the number of voxels.
    """
    if not usable(affine):
        raise InputError(
            where,
            expected="a usable voxel-to-mm affine",
            found="a singular or non-finite one",
            fix="Export the scan again with its orientation.",
        )
    extent = voxel_sizes(affine) * shape[:3]
    if extent.max() > EXTENT_MM[1] or np.prod(extent) > LARGEST_MM3:
        raise InputError(
            where,
            expected=f"at most {EXTENT_MM[1]:g} mm along an axis, and a person's volume in all",
            found=f"{' × '.join(f'{one:.4g}' for one in extent)} mm",
            fix="Look at the voxel size in its header; export it again in millimetres.",
        )


def to_native(volume: Volume) -> np.ndarray:
    """The voxels of a RAS+ volume in the order of the file that it came from."""
    if volume.native is None:
        return volume.data
    return _to_native("volume", volume, volume.native)


def to_ras(data: np.ndarray, affine: np.ndarray) -> Volume:
    """Voxels (X, Y, Z) on any grid, turned to RAS+ by permutation and flips; the grid is kept."""
    return _in_ras(data, Place(np.asarray(affine, float)))


def _in_ras(data: np.ndarray, place: Place) -> Volume:
    native = Grid(tuple(data.shape), place.affine, place.forms)
    start = orientations.io_orientation(place.affine)
    return Volume(*_turn(data, place.affine, start, _RAS), native, place.notes)


def _turn(
    data: np.ndarray, affine: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of one axis order and direction in another, as nibabel writes them."""
    transform = orientations.ornt_transform(start, end)
    turned = np.ascontiguousarray(orientations.apply_orientation(data, transform))
    return turned, affine @ orientations.inv_ornt_aff(transform, data.shape)


def _to_native(path: Path | str, volume: Volume, native: Grid) -> np.ndarray:
    end = orientations.io_orientation(native.affine)
    data, affine = _turn(volume.data, volume.affine, _RAS, end)
    turned = Grid(tuple(data.shape), affine)
    if not turned.matches(native):
        raise InputError(
            path,
            expected=f"data on the grid {native}",
            found=str(turned),
            fix="Resample to the scan's grid before writing.",
        )
    return data


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _ranges(values: set[int]) -> str:
    ordered = sorted(values)
    if len(ordered) > 12 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]}…{ordered[-1]}"
    return ", ".join(map(str, ordered))
