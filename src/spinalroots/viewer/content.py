"""Volumes, labels and surfaces in the form that `assets/viewer.js` shows."""

import base64
import gzip
from collections.abc import Iterable

import nibabel as nib
import numpy as np

from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Scheme, label_colour, label_names

_MZ3_MAGIC, _MZ3_FACES_AND_POINTS = 0x5A4D, 1 | 2


def inlined(volume: Volume) -> dict[str, str]:
    """A volume (X, Y, Z) as `{"base64": …}` of a compressed NIfTI file, the same for the same
    voxels. Label maps (uint8) go in as they are, scans in a byte a voxel."""
    return {"base64": base64.b64encode(packed(volume)).decode("ascii")}


def packed(volume: Volume) -> bytes:
    """The compressed NIfTI file of :func:`inlined`."""
    shown = volume.data if volume.data.dtype == np.uint8 else grey(volume.data)
    image = nib.Nifti1Image(np.asarray(shown), volume.affine)
    image.set_sform(volume.affine, code=1)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def grey(data: np.ndarray) -> np.ndarray:
    """A scan (any shape) in 256 steps between its 0.5th and 99.8th percentile (uint8)."""
    low, high = np.percentile(data, [0.5, 99.8])
    steps = (data - low) * (255 / max(high - low, 1e-6))
    return np.rint(np.clip(steps, 0, 255)).astype(np.uint8)


def labels(scheme: Scheme | str, values: Iterable[int]) -> list[dict]:
    """Value, name and colour of label values of a scheme, in their order."""
    names = label_names(scheme)
    return [
        {"value": value, "name": names[value], "colour": list(label_colour(scheme, value))}
        for value in sorted(values)
    ]


def mz3(points_mm: np.ndarray, faces: np.ndarray) -> bytes:
    """A surface as a compressed MZ3 file.

    :param points_mm: (N, 3) RAS+ mm. :param faces: (M, 3) rows of `points_mm`, outwards
        counter-clockwise.
    """
    counts = np.array([len(faces), len(points_mm), 0], "<u4")
    head = np.array([_MZ3_MAGIC, _MZ3_FACES_AND_POINTS], "<u2").tobytes() + counts.tobytes()
    body = np.asarray(faces, "<u4").tobytes() + np.asarray(points_mm, "<f4").tobytes()
    return gzip.compress(head + body, compresslevel=6, mtime=0)


def surface(
    points_mm: np.ndarray,
    faces: np.ndarray,
    name: str,
    colour: tuple[int, int, int],
    *,
    map_key: str | None = None,
    value: int | None = None,
    opacity: float = 1.0,
) -> dict:
    """An entry of the viewer's `surfaces`; see :func:`mz3` for the first two.

    :param map_key: the map that it belongs to; None shows it with each of them.
    :param value: the label that turns it on and off; None gives it a slider of its own.
    """
    packed_surface = base64.b64encode(mz3(points_mm, faces)).decode("ascii")
    seen = {"map": map_key, "value": value, "name": name, "colour": list(colour)}
    return {**seen, "opacity": opacity, "base64": packed_surface}
