"""Where the voxels of a file lie: what NIfTI headers say of it, and what they leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from nibabel.affines import voxel_sizes

from spinalroots.errors import InputError

UNITS_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
"""Millimetres of each unit of length that NIfTI knows."""
EXTENT_MM = (5.0, 3000.0)
"""Length of the longest edge of anything that is scanned: a unit that leads out of it is wrong."""
APART_VOX = 0.1
"""Two grids are one when no voxel centre lies further apart than this share of a voxel's edge."""
LIMIT_MM = 1e6
"""A kilometre: nothing in an affine is larger."""
_HEADER = (
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "qform_code"),
    *("srow_x", "srow_y", "srow_z", "sform_code", "xyzt_units", "pixdim"),
)


@dataclass(frozen=True)
class Forms:
    """A NIfTI header's own words about where its voxels lie, which masks of it repeat.

    They are copied and not computed again: whatever program opens the scan opens its masks, and at
    the same place, be the header's two forms of one mind or not.
    """

    fields: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, header: nib.Nifti1Header) -> Forms:
        """The words of a header."""
        return cls({name: np.array(header[name]) for name in _HEADER})

    def put(self, header: nib.Nifti1Header) -> None:
        """Write them into another header of the same shape."""
        for name in _HEADER[:-1]:
            header[name] = self.fields[name]
        own = np.abs(np.asarray(self.fields["pixdim"], float))[:4]
        usable = np.isfinite(own) & (own > 0)
        header["pixdim"][1:4] = np.where(usable, own, header["pixdim"][:4])[1:4]
        header["pixdim"][0] = -1.0 if float(self.fields["pixdim"][0]) < 0 else 1.0


@dataclass(frozen=True)
class Place:
    """Voxel → RAS+ mm `affine` (4, 4); `forms` of a NIfTI header; `notes` for the person."""

    affine: np.ndarray
    forms: Forms | None = None
    notes: tuple[str, ...] = ()


def place_of(
    path: Path, image: nib.spatialimages.SpatialImage, orientation: str | None = None
) -> Place:
    """Where the voxels of an opened file lie.

    Of two forms that disagree the one with the larger code wins, the sform where they are equal; a
    form that cannot be used gives way to the other. Sizes in metres or micrometres become mm.

    :param orientation: how the voxel axes really run, such as ``LAS``, against the header.
    :raises InputError: the header does not say which way the axes run, and nobody else does.
    """
    shape = image.shape[:3]
    if not isinstance(image, nib.Nifti1Pair):
        if isinstance(image, nib.AnalyzeImage):
            zooms = np.abs(np.asarray(image.header.get_zooms()[:3], float))
            return Place(_told(path, zooms, shape, orientation), None, _said(orientation, ""))
        place = Place(np.asarray(image.affine, float))
    else:
        place = _nifti(path, image.header, shape, orientation)
    if orientation is not None and place.forms is not None:
        turned = reoriented(place.affine, shape, orientation)
        was = "".join(nib.aff2axcodes(place.affine))
        return Place(turned, None, (*place.notes, *_said(orientation, was)))
    return place


def reoriented(affine: np.ndarray, shape: tuple[int, ...], codes: str) -> np.ndarray:
    """The affine of voxels whose axes run to `codes`, about the same middle and as oblique.

    >>> reoriented(np.diag([1.0, 1, 2, 1]), (3, 3, 3), "RAI")[2]
    array([ 0.,  0., -2.,  4.])
    """
    _axes(codes)
    start = orientations.io_orientation(affine)
    end = orientations.axcodes2ornt(codes.upper())
    turn = np.zeros((3, 3))
    for (was, sign), (now, way) in zip(start, end, strict=True):
        turn[int(now), int(was)] = sign * way
    middle = (np.asarray(shape[:3]) - 1) / 2
    found = affine.copy()
    found[:3, :3] = turn @ affine[:3, :3]
    found[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3] - found[:3, :3] @ middle
    return found


def corners(shape: tuple[int, ...]) -> np.ndarray:
    """Voxel coordinates (8, 3) of the corner voxels."""
    return np.array(list(product(*((0, length - 1) for length in shape[:3]))), float)


def apart_mm(shape: tuple[int, ...], first: np.ndarray, second: np.ndarray) -> float:
    """Largest distance in mm between the places that two affines give a voxel."""
    voxels = corners(shape)
    moved = voxels @ (first - second)[:3, :3].T + (first - second)[:3, 3]
    return float(np.linalg.norm(moved, axis=1).max())


def usable(affine: np.ndarray) -> bool:
    """Whether an affine is finite, not singular, and of this world."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(affine).all() and np.abs(affine).max() < LIMIT_MM
        return bool(finite and abs(np.linalg.det(affine[:3, :3])) > 1e-12)


def _nifti(
    path: Path, header: nib.Nifti1Header, shape: tuple[int, ...], orientation: str | None
) -> Place:
    forms = {"qform": _qform(header), "sform": header.get_sform()}
    codes = {name: int(header[f"{name}_code"]) for name in forms}
    coded = [name for name in ("sform", "qform") if codes[name] > 0]
    good = sorted((name for name in coded if usable(forms[name])), key=lambda name: -codes[name])
    notes = [
        f"the {name} cannot be used (singular, or no numbers); the other form is taken"
        for name in coded
        if name not in good and good
    ]
    factor, said = _unit(header, shape)
    notes += said
    if not good:
        if coded and orientation is None:
            raise InputError(
                path,
                expected="a usable voxel-to-mm affine",
                found="a singular or non-finite one",
                fix="Export the scan again with its orientation, or say how its axes run "
                "(--orientation RAS, of predict and of ingest).",
            )
        sizes = np.abs(np.asarray(header.get_zooms()[:3], float)) * factor
        affine = _told(path, sizes, shape, orientation)
        return Place(affine, None, (*notes, *_said(orientation, "")))
    affine = forms[good[0]].astype(float)
    if len(good) == 2:
        apart = apart_mm(shape, *(forms[name] for name in good)) * factor
        if apart > APART_VOX * voxel_sizes(affine).min() * factor:
            notes.append(
                f"qform and sform disagree by {apart:.3g} mm; the {good[0]} is taken "
                f"(code {codes[good[0]]} against {codes[good[1]]})"
            )
    scaled = affine.copy()
    scaled[:3] *= factor
    return Place(scaled, Forms.of(header), tuple(notes))


def _qform(header: nib.Nifti1Header) -> np.ndarray:
    """The qform; not a number where the header's quaternion is none."""
    try:
        return header.get_qform()
    except (ValueError, nib.spatialimages.HeaderDataError):
        return np.full((4, 4), np.nan)


def _unit(header: nib.Nifti1Header, shape: tuple[int, ...]) -> tuple[float, list[str]]:
    """Millimetres of the header's unit of length, and what is to be said of it."""
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    factor = UNITS_MM.get(unit, 1.0)
    longest = float(np.max(np.abs(header.get_zooms()[:3]) * shape[:3]))
    if factor == 1.0:
        return 1.0, []
    if EXTENT_MM[0] <= longest * factor <= EXTENT_MM[1]:
        return factor, [f"lengths in the header are in {unit}; read as such"]
    if EXTENT_MM[0] <= longest <= EXTENT_MM[1]:
        return 1.0, [f"the header says lengths in {unit}, which cannot be; read as mm"]
    return factor, []


def _told(
    path: Path, sizes_mm: np.ndarray, shape: tuple[int, ...], orientation: str | None
) -> np.ndarray:
    """The affine that a person's word gives, the middle of the scan at the origin."""
    if orientation is None:
        raise InputError(
            path,
            expected="a header that says which way its axes run",
            found="none (Analyze, or both NIfTI codes 0): left and right would be a guess",
            fix="Say how the three voxel axes run, towards which side each rises: "
            "--orientation LAS (or RAS, …), of predict and of ingest.",
        )
    sizes_mm = np.where(np.isfinite(sizes_mm) & (sizes_mm > 0), sizes_mm, 1.0)
    return reoriented(_centred(sizes_mm, shape), shape, orientation)


def _centred(sizes_mm: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    affine = np.diag([*sizes_mm, 1.0])
    affine[:3, 3] = -sizes_mm * (np.asarray(shape[:3]) - 1) / 2
    return affine


def _said(orientation: str | None, was: str) -> tuple[str, ...]:
    if orientation is None:
        return ()
    header = f"the header says {was}" if was else "the header does not say"
    return (f"axes run {orientation.upper()} by --orientation ({header})",)


def _axes(codes: str) -> None:
    pairs = ({"L", "R"}, {"A", "P"}, {"S", "I"})
    letters = codes.upper()
    if len(letters) != 3 or any(len(set(letters) & pair) != 1 for pair in pairs):
        raise InputError(
            "--orientation",
            expected="three letters, one each of L/R, A/P and S/I, such as LAS",
            found=repr(codes),
            fix="Name the side that each voxel axis rises towards.",
        )
