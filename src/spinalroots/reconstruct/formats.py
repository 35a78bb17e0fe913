"""A scene as files that other programs read. All coordinates are the scanner's RAS+ in mm.

Viewers that think in LPS, such as 3D Slicer, take a mesh for LPS unless it says otherwise: the STL
header, a comment of PLY and OBJ and a field of VTP say ``SPACE=RAS``, which 3D Slicer reads.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from spinalroots.files import write_bytes
from spinalroots.reconstruct.scene import Part
from spinalroots.reconstruct.trajectories import Trajectory

SPACE = "SPACE=RAS"


def write_parts(folder: Path, parts: Sequence[Part]) -> None:
    """Write ``surfaces/<part>.stl`` each, and ``scene.glb``, ``.ply``, ``.obj``, ``.vtp`` of all.

    In the GLB every part is a node with its name and colour; the OBJ has a group a part; the VTP
    says of every triangle which part it belongs to.
    """
    folder = Path(folder)
    for part in parts:
        write_bytes(folder / "surfaces" / f"{part.name}.stl", stl(part.surface))
    write_bytes(folder / "scene.glb", glb(parts))
    write_bytes(folder / "scene.ply", ply(parts))
    write_bytes(folder / "scene.obj", obj(parts))
    write_vtp(folder / "scene.vtp", parts)


def stl(surface: trimesh.Trimesh) -> bytes:
    """Binary STL whose header names the space."""
    written = surface.export(file_type="stl")
    return SPACE.encode().ljust(80, b" ") + written[80:]


def glb(parts: Sequence[Part]) -> bytes:
    """Binary glTF with a named, coloured node a part."""
    whole = trimesh.Scene(metadata={"space": "RAS mm"})
    for part in parts:
        surface = trimesh.Trimesh(part.surface.vertices, part.surface.faces, process=False)
        surface.visual = trimesh.visual.TextureVisuals(
            material=trimesh.visual.material.PBRMaterial(
                name=part.name,
                baseColorFactor=[*part.colour, round(255 * part.opacity)],
                metallicFactor=0.0,
                roughnessFactor=0.7,
                alphaMode="OPAQUE" if part.opacity == 1 else "BLEND",
            )
        )
        whole.add_geometry(surface, node_name=part.name, geom_name=part.name)
    return whole.export(file_type="glb")


def ply(parts: Sequence[Part]) -> bytes:
    """Binary PLY of all parts, coloured corner by corner."""
    surfaces = []
    for part in parts:
        surface = trimesh.Trimesh(part.surface.vertices, part.surface.faces, process=False)
        surface.visual.vertex_colors = (*part.colour, round(255 * part.opacity))
        surfaces.append(surface)
    written = trimesh.util.concatenate(surfaces).export(file_type="ply")
    head = b"ply\nformat binary_little_endian 1.0\n"
    return head + f"comment {SPACE}\n".encode() + written.removeprefix(head)


def obj(parts: Sequence[Part]) -> bytes:
    """OBJ text with a group a part."""
    lines, start = [f"# {SPACE}", "# mm"], 1
    for part in parts:
        lines.append(f"g {part.name}")
        lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in part.surface.vertices]
        lines += [f"f {a} {b} {c}" for a, b, c in part.surface.faces + start]
        start += len(part.surface.vertices)
    return ("\n".join(lines) + "\n").encode()


def write_vtp(path: Path, parts: Sequence[Part]) -> None:
    """VTK PolyData: cell arrays ``part`` (place in the field ``part_names``) and ``RGB``."""
    import pyvista

    whole = trimesh.util.concatenate([part.surface for part in parts])
    data = pyvista.make_tri_mesh(whole.vertices, whole.faces)
    counts = [len(part.surface.faces) for part in parts]
    data.cell_data["part"] = np.repeat(np.arange(len(parts)), counts)
    data.cell_data["RGB"] = np.repeat(np.array([p.colour for p in parts], np.uint8), counts, axis=0)
    data.field_data["part_names"] = [part.name for part in parts]
    data.field_data["SPACE"] = ["RAS"]
    data.save(path)


def write_curves_vtp(path: Path, ways: dict[str, Trajectory]) -> None:
    """VTK PolyData of one line a root, with ``diameter_mm``, ``along_mm``, ``joined``, ``thin`` at
    the points and ``root`` (place in the field ``root_names``) at the lines."""
    import pyvista

    counts = [len(way.points_mm) for way in ways.values()]
    starts = np.cumsum([0, *counts[:-1]])
    lines = [
        [count, *range(start, start + count)] for count, start in zip(counts, starts, strict=True)
    ]
    data = pyvista.PolyData(
        np.concatenate([way.points_mm for way in ways.values()]), lines=np.concatenate(lines)
    )
    data.point_data["diameter_mm"] = np.concatenate([way.diameter_mm for way in ways.values()])
    data.point_data["along_mm"] = np.concatenate([way.along_mm for way in ways.values()])
    for name in ("joined", "thin"):
        flags = np.concatenate([getattr(way, name) for way in ways.values()])
        data.point_data[name] = flags.astype(np.uint8)
    data.cell_data["root"] = np.arange(len(ways))
    data.field_data["root_names"] = list(ways)
    data.field_data["SPACE"] = ["RAS"]
    data.save(path)


def swc(name: str, way: Trajectory) -> str:
    """SWC text of one root: type 2 where it was seen, 0 where it was joined over a gap."""
    lines = [f"# {name}, from entry to exit; RAS mm", "# id type x y z radius parent"]
    for index, (point, diameter, joined) in enumerate(
        zip(way.points_mm, way.diameter_mm, way.joined, strict=True), start=1
    ):
        x, y, z = point
        parent = index - 1 or -1
        lines.append(
            f"{index} {0 if joined else 2} {x:.4f} {y:.4f} {z:.4f} {diameter / 2:.4f} {parent}"
        )
    return "\n".join(lines) + "\n"
