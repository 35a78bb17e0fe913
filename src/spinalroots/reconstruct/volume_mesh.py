"""Tetrahedra with tissue labels, for field solvers."""

from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import trimesh
from nibabel.affines import apply_affine

from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.sac import CORD, CSF, FAT, Canal
from spinalroots.reconstruct.scene import Part
from spinalroots.registry.anatomy import ROOT_TISSUE

EDGE_MM, ENVELOPE_MM = 4.0, 0.25
"""Longest edges wanted, and how far the mesh may stray from the surfaces."""


@dataclass(frozen=True)
class VolumeMesh:
    """`points_mm` (P, 3), RAS+; `tetrahedra` (T, 4) places in them; `tissue` (T,) as in a tissue
    map (1 cord, 2 CSF, 3 fat, 4 roots, 0 none of them); `root` (T,) value of the root, or 0."""

    points_mm: np.ndarray
    tetrahedra: np.ndarray
    tissue: np.ndarray
    root: np.ndarray


def volume_mesh(
    parts: Sequence[Part], individuals: Volume, tissues: Volume | None, canal: Canal | None
) -> VolumeMesh:
    """Mesh the inside of closed surfaces; a tetrahedron is what the maps say at its centroid.

    Inside the sac what is neither cord nor root is CSF.

    fTetWild (Hu et al. 2020) through pytetwild, both MPL-2.0: it takes surfaces that touch and
    cross, as those of neighbouring roots do, and keeps within :data:`ENVELOPE_MM` of them. One
    thread, so that the same surfaces give the same mesh.
    """
    import pytetwild

    whole = trimesh.util.concatenate([part.surface for part in parts])
    diagonal_mm = float(np.linalg.norm(np.ptp(whole.vertices, axis=0)))
    with TemporaryDirectory() as place, chdir(place):  # it leaves a file where it runs
        points, tetrahedra = pytetwild.tetrahedralize(
            np.asarray(whole.vertices, float),
            np.asarray(whole.faces, np.int32),
            edge_length_abs=EDGE_MM,
            epsilon=ENVELOPE_MM / diagonal_mm,
            stop_energy=20.0,
            num_threads=1,
            vtk_ordering=True,
        )
    middle = points[tetrahedra].mean(axis=1)
    root = _at(individuals.data, individuals.affine, middle)
    tissue = np.zeros(len(middle), np.uint8)
    if tissues is not None and canal is not None:
        seen = _at(tissues.data, tissues.affine, middle)
        tissue[seen == FAT] = FAT
        tissue[_at(canal.sac, canal.affine, middle) > 0] = CSF
        tissue[seen == CORD] = CORD
    tissue[root > 0] = ROOT_TISSUE
    return VolumeMesh(points, tetrahedra, tissue, root)


def write_volume_mesh(folder: Path, mesh: VolumeMesh) -> None:
    """Write ``volume.vtu`` and ``volume.msh`` (Gmsh 2.2), RAS+ mm: cell data ``tissue``, ``root``;
    for Gmsh the tissue is the physical group, the root the elementary entity."""
    import meshio

    cells = [("tetra", mesh.tetrahedra)]
    data = {"tissue": [mesh.tissue.astype(np.int32)], "root": [mesh.root.astype(np.int32)]}
    for path in (Path(folder) / "volume.vtu", Path(folder) / "volume.msh"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".vtu":
            meshio.write(path, meshio.Mesh(mesh.points_mm, cells, cell_data=data))
        else:
            groups = {"gmsh:physical": data["tissue"], "gmsh:geometrical": data["root"]}
            meshio.write(
                path,
                meshio.Mesh(mesh.points_mm, cells, cell_data=groups),
                file_format="gmsh22",
                binary=False,
            )


def _at(labels: np.ndarray, affine: np.ndarray, points_mm: np.ndarray) -> np.ndarray:
    """Labels (N,) uint8 at points (N, 3); 0 beyond the map."""
    voxels = np.rint(apply_affine(np.linalg.inv(affine), points_mm)).astype(int)
    within = ((voxels >= 0) & (voxels < labels.shape)).all(axis=1)
    found = np.zeros(len(points_mm), np.uint8)
    found[within] = labels[tuple(voxels[within].T)]
    return found
