"""One person's model in memory: cord, sac, fat and every root as surfaces, and the roots' courses.

``scene(individuals, tissues)`` is all that another room needs: arrays in, surfaces and
trajectories out, no file touched. :mod:`spinalroots.reconstruct.picture` draws a scene, and
:mod:`spinalroots.reconstruct.formats` writes it.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial import cKDTree

from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.measurements import stretches
from spinalroots.reconstruct.sac import CORD, CSF, FAT, Canal
from spinalroots.reconstruct.surfaces import surface_of
from spinalroots.reconstruct.trajectories import Trajectory, trace_root
from spinalroots.registry.anatomy import Root, Scheme, label_colour

ROOT, JOINED, TISSUE = "root", "joined", "tissue"
"""Kinds of parts: seen in the mask of a root, made up over its gaps, cord or sac or fat."""
_COARSE = 2.0
"""Edges of the triangles of cord, sac and fat over those of a root."""
_WIDER = 1.2
"""Blur of cord, sac and fat over that of a root: it takes no thin parts away from them."""
_LEAST_FAT_MM3 = 50.0


@dataclass(frozen=True)
class Part:
    """A closed surface, vertices in RAS+ mm, with its name, such as ``L3_D_L`` or ``sac``, its
    `kind`, RGB `colour` (0..255) and `opacity` (0..1)."""

    name: str
    kind: str
    colour: tuple[int, int, int]
    opacity: float
    surface: trimesh.Trimesh


@dataclass(frozen=True)
class Scene:
    """Surfaces and trajectories of one person; `canal` is None without a tissue map."""

    parts: tuple[Part, ...]
    ways: dict[Root, Trajectory]
    canal: Canal | None

    def of_kind(self, kind: str) -> list[Part]:
        """The parts of a kind, in order."""
        return [part for part in self.parts if part.kind == kind]


def scene(
    individuals: Volume,
    tissues: Volume | None = None,
    *,
    smoothing_mm: float = 0.5,
    spacing_mm: float = 1.0,
    gap_mm: float = 10.0,
    triangle_mm: float = 0.8,
) -> Scene:
    """Surfaces and trajectories of an individual map, and of the tissue map on the same grid.

    :param individuals: (X, Y, Z) uint8, values 1..120 of the registry, RAS+.
    :param tissues: (X, Y, Z) uint8, 1 cord, 2 CSF, 3 fat, 4 all roots; on the same grid.
    :param smoothing_mm: spread of the blur before a surface is drawn.
    :param spacing_mm: distance of a trajectory's points.
    :param gap_mm: pieces of a root that are closer than this are joined.
    :param triangle_mm: length that a triangle's edges are brought to; 0 keeps all triangles.
    """
    values = [int(value) for value in np.unique(individuals.data) if value]
    ways = {
        Root.from_value(value): trace_root(
            individuals.data == value, individuals.affine, spacing_mm=spacing_mm, gap_mm=gap_mm
        )
        for value in values
    }
    canal = None if tissues is None else Canal.of(tissues.data, tissues.affine)
    parts = surfaces_of(individuals, ways, tissues, canal, smoothing_mm, triangle_mm)
    return Scene(parts, ways, canal)


def surfaces_of(
    individuals: Volume,
    ways: dict[Root, Trajectory],
    tissues: Volume | None,
    canal: Canal | None,
    smoothing_mm: float,
    triangle_mm: float,
) -> tuple[Part, ...]:
    """The parts of :func:`scene`: tissues from the inside out, then the roots by label value, each
    followed by what was joined over its gaps."""
    parts = []
    if tissues is not None and canal is not None:
        wide_mm = (_WIDER * smoothing_mm, _COARSE * triangle_mm)
        parts += _tissues(individuals, ways, tissues, canal, *wide_mm)
    for root, way in ways.items():
        colour = label_colour(Scheme.INDIVIDUALS, root.value)
        mask = individuals.data == root.value
        surface = surface_of(mask, individuals.affine, smoothing_mm, triangle_mm=triangle_mm)
        parts.append(Part(str(root), ROOT, colour, 1.0, surface))
        bridge = bridge_of(way, individuals.data, individuals.affine)
        if bridge.any():
            red, green, blue = ((255 + value) // 2 for value in colour)
            surface = surface_of(bridge, individuals.affine, smoothing_mm, triangle_mm=triangle_mm)
            parts.append(Part(f"{root}_joined", JOINED, (red, green, blue), 0.5, surface))
    return tuple(part for part in parts if len(part.surface.faces))


def _tissues(
    individuals: Volume,
    ways: dict[Root, Trajectory],
    tissues: Volume,
    canal: Canal,
    smoothing_mm: float,
    triangle_mm: float,
) -> list[Part]:
    """Cord; sac, with what roots fill of it and a voxel around, so that none sticks out; fat."""
    fat = tissues.data == FAT
    if fat.sum() * tissues.grid.voxel_mm3 < _LEAST_FAT_MM3:
        fat = np.zeros_like(fat)
    around = canal.sac | ndimage.binary_dilation(_in_sac(individuals, ways, canal))
    parts = []
    for name, mask, value, opacity in (
        ("cord", canal.cord, CORD, 1.0),
        ("sac", around, CSF, 0.25),
        ("fat", fat, FAT, 0.3),
    ):
        surface = surface_of(
            mask, tissues.affine, smoothing_mm, triangle_mm=triangle_mm, fine=False
        )
        colour = label_colour(Scheme.TISSUES, value)
        parts.append(Part(name, TISSUE, colour, opacity, surface))
    return parts


def _in_sac(individuals: Volume, ways: dict[Root, Trajectory], canal: Canal) -> np.ndarray:
    """Voxels (X, Y, Z) of roots before they leave the sac: at its wall they dent the CSF."""
    held = np.zeros(individuals.data.shape, bool)
    for root, found in stretches(ways, canal).items():
        if found.exit is not None:
            voxels = np.argwhere(individuals.data == root.value)
            places = apply_affine(individuals.affine, voxels)
            nearest = cKDTree(ways[root].points_mm).query(places)[1]
            held[tuple(voxels[nearest <= found.exit].T)] = True
    return held


def bridge_of(way: Trajectory, labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Voxels (X, Y, Z) over the gaps of a root, as thick as it is beside them; no other label's."""
    bridge = np.zeros(labels.shape, bool)
    if not way.joined.any():
        return bridge
    fine_mm = voxel_sizes(affine).min() / 4
    for start, stop in _runs(way.joined):
        ends = slice(max(start - 1, 0), min(stop + 1, len(way.joined)))
        points, radius_mm = way.points_mm[ends], float(way.diameter_mm[ends].mean()) / 2
        along = np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()
        at = np.arange(0, along[-1] + fine_mm, fine_mm)
        line = np.stack([np.interp(at, [0, *along], axis) for axis in points.T], axis=1)
        voxels = np.rint(apply_affine(np.linalg.inv(affine), line)).astype(int)
        reach = np.ceil(radius_mm / voxel_sizes(affine)).astype(int)
        low = np.clip(voxels.min(axis=0) - reach, 0, labels.shape)
        high = np.clip(voxels.max(axis=0) + reach + 1, 0, labels.shape)
        near = np.argwhere(np.ones(high - low, bool)) + low
        close = cKDTree(line).query(apply_affine(affine, near))[0] <= radius_mm
        within = ((voxels >= 0) & (voxels < labels.shape)).all(axis=1)
        bridge[tuple(voxels[within].T)] = bridge[tuple(near[close].T)] = True
    return bridge & (labels == 0)


def _runs(flags: np.ndarray) -> np.ndarray:
    """(first, one past the last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return edges.reshape(-1, 2)
