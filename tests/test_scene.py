"""The whole anatomy in three dimensions: on an oblique grid, read back by other libraries."""

import json

import meshio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import pyvista
import trimesh
from scipy.spatial import cKDTree

from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct import case
from spinalroots.reconstruct.crossings import crosses_itself, crossings
from spinalroots.reconstruct.measurements import measure, stretches
from spinalroots.reconstruct.picture import scene_picture
from spinalroots.reconstruct.sac import Canal
from spinalroots.reconstruct.scene import JOINED, ROOT, scene
from spinalroots.reconstruct.surfaces import fewer, surface_of
from spinalroots.reconstruct.volume_mesh import volume_mesh, write_volume_mesh
from spinalroots.registry.anatomy import Root

TURN = np.radians(12)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = [
    [0.8 * np.cos(TURN), -0.7 * np.sin(TURN), 0.0],
    [0.8 * np.sin(TURN), 0.7 * np.cos(TURN), -0.2],
    [0.05, 0.15, 1.1],
]
OBLIQUE[:3, 3] = (-19.0, 8.0, -40.0)
SHAPE = (44, 44, 60)
EDGE = nib.affines.voxel_sizes(OBLIQUE)
L3, L4, S1 = (Root.parse(name) for name in ("L3_D_L", "L4_D_L", "S1_D_R"))


@pytest.fixture(scope="module")
def person():
    """An individual map and a tissue map: a cord that ends, a sac, three roots, one with a gap."""
    x, y, z = np.indices(SHAPE)
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[((x - 22) / 11) ** 2 + ((y - 22) / 12) ** 2 < 1] = 2
    tissues[(np.hypot(x - 22, (y - 22)) < 4.5) & (z > 30)] = 1
    roots = np.zeros(SHAPE, np.uint8)
    out = 22 - 7 - 0.55 * np.clip(26 - z, 0, None)
    roots[(np.hypot(x - out, y - 19) < 1.9) & (z > 8) & (z < 54)] = L3.value
    roots[(np.hypot(x - 19, y - 14) < 1.3) & (z > 4) & (z < 46)] = L4.value
    roots[:, :, 20:24][roots[:, :, 20:24] == L4.value] = 0
    roots[(np.hypot(x - 27, y - 14) < 1.7) & (z > 2) & (z < 38)] = S1.value
    tissues[(roots > 0) & (tissues == 2)] = 0
    return Volume(roots, OBLIQUE), Volume(tissues, OBLIQUE)


@pytest.fixture(scope="module")
def found(person):
    return scene(*person)


@pytest.fixture(scope="module")
def folder(person, tmp_path_factory):
    place = tmp_path_factory.mktemp("scene") / "model"
    case(person[0], place, person[1], subject="p7")
    return place


def places(labels, value):
    return nib.affines.apply_affine(OBLIQUE, np.argwhere(labels == value))


def outside_mm(surface, points):
    """How far the outermost of points (N, 3) lies outside a closed surface, by VTK."""
    solid = pyvista.PolyData.from_regular_faces(surface.vertices, surface.faces)
    return float(
        pyvista.PolyData(points).compute_implicit_distance(solid)["implicit_distance"].max()
    )


def lies_where_the_label_lies(surface, labels, value):
    own = places(labels, value)
    half = EDGE.max() / 2
    corners = np.array(surface.vertices)
    assert np.linalg.norm(surface.center_mass - own.mean(axis=0)) < half
    assert outside_mm(surface, own) < half  # every voxel's middle is inside, or nearly
    assert cKDTree(own).query(corners)[0].max() < np.linalg.norm(EDGE) / 2 + half


def test_every_surface_is_closed_does_not_cross_itself_and_is_as_large_as_its_mask(person, found):
    names = [part.name for part in found.parts]
    assert names == ["cord", "sac", "L3_D_L", "L4_D_L", "L4_D_L_joined", "S1_D_R"]
    voxel_mm3 = person[0].grid.voxel_mm3
    for part in found.parts:
        assert part.surface.is_watertight
        assert not crosses_itself(part.surface)
    for part in found.of_kind(ROOT):
        count = (person[0].data == Root.parse(part.name).value).sum()
        assert part.surface.volume == pytest.approx(count * voxel_mm3, rel=0.05)
    cord = next(part.surface for part in found.parts if part.name == "cord")
    assert cord.volume == pytest.approx((person[1].data == 1).sum() * voxel_mm3, rel=0.05)


def test_roots_lie_in_the_sac_to_half_a_voxel_until_they_leave_it(found):
    sac = next(part.surface for part in found.parts if part.name == "sac")
    ends = stretches(found.ways, found.canal)
    for part in found.of_kind(ROOT):
        root = Root.parse(part.name)
        nearest = cKDTree(found.ways[root].points_mm).query(part.surface.vertices)[1]
        within = part.surface.vertices[nearest < ends[root].exit]
        assert len(within) > 100
        assert outside_mm(sac, within) < EDGE.max() / 2
    gone = stretches(found.ways, found.canal)[L3].exit
    assert gone < len(found.ways[L3].points_mm) - 5  # it does leave


def test_a_gap_is_joined_and_the_joined_part_is_told_from_what_was_seen(person, found):
    way = found.ways[L4]
    assert way.parts == 2
    height = way.points_mm[way.joined][:, 2]
    gap = places(np.ones(SHAPE) * (np.indices(SHAPE)[2] >= 20) * (np.indices(SHAPE)[2] < 24), 1)
    assert gap[:, 2].min() < height.min() < height.max() < gap[:, 2].max()
    bridge = found.of_kind(JOINED)[0]
    assert bridge.name == "L4_D_L_joined"
    assert bridge.surface.volume == pytest.approx(np.pi * 1.3**2 * 4 * 0.8 * 0.7 * 1.1, rel=0.5)
    assert not found.ways[L3].joined.any()


@pytest.mark.parametrize("value", [L3.value, S1.value])
def test_glb_stl_ply_and_vtp_lie_where_the_labels_lie(folder, person, value):
    name = str(Root.from_value(value))
    labels = person[0].data
    whole = trimesh.load(folder / "scene.glb")
    assert set(whole.graph.nodes_geometry) >= {"cord", "sac", name}
    place, geometry = whole.graph[name]
    glb = whole.geometry[geometry].copy()
    glb.apply_transform(place)
    glb.merge_vertices()
    lies_where_the_label_lies(glb, labels, value)
    lies_where_the_label_lies(trimesh.load(folder / "surfaces" / f"{name}.stl"), labels, value)
    data = pyvista.read(folder / "scene.vtp")
    number = list(data.field_data["part_names"]).index(name)
    part = data.extract_cells(data["part"] == number).extract_surface(algorithm="dataset_surface")
    faces = part.faces.reshape(-1, 4)[:, 1:]
    lies_where_the_label_lies(trimesh.Trimesh(part.points, faces), labels, value)
    assert len(trimesh.load(folder / "scene.ply").faces) == data.n_cells
    assert len(meshio.read(folder / "scene.obj").cells_dict["triangle"]) == data.n_cells


def test_files_say_which_space_they_are_in(folder):
    assert (folder / "surfaces" / "L3_D_L.stl").read_bytes()[:80].startswith(b"SPACE=RAS")
    assert b"comment SPACE=RAS" in (folder / "scene.ply").read_bytes()[:200]
    assert (folder / "scene.obj").read_text(encoding="utf-8").startswith("# SPACE=RAS")
    assert list(pyvista.read(folder / "scene.vtp").field_data["SPACE"]) == ["RAS"]


def test_curves_of_every_format_run_through_the_middle_of_their_label(folder, person):
    name = "p7_nerveroots_S1_D_R.mrk.json"
    markup = json.loads((folder / "markups" / name).read_text(encoding="utf-8"))["markups"][0]
    lps = np.array([point["position"] for point in markup["controlPoints"]])
    swc = np.loadtxt(folder / "trajectories" / "S1_D_R.swc")
    table = pd.read_csv(folder / "trajectories.csv").query("root == 'S1_D_R'")
    lines = pyvista.read(folder / "trajectories.vtp")
    number = list(lines.field_data["root_names"]).index("S1_D_R")
    middle = np.array([OBLIQUE @ [27, 14, z, 1] for z in np.linspace(2, 38, 400)])[:, :3]
    for points in (
        lps * [-1, -1, 1],
        swc[:, 2:5],
        table[["right_mm", "anterior_mm", "superior_mm"]].to_numpy(),
        lines.get_cell(number).points,
    ):
        assert len(points) == len(swc)
        assert cKDTree(middle).query(points)[0].max() < EDGE.min() / 2
        assert points[0, 2] > points[-1, 2]
    assert list(swc[1:, 6]) == list(swc[:-1, 0])
    assert swc[0, 6] == -1
    radius = markup["measurements"][0]["controlPointValues"]
    assert np.allclose(radius, swc[:, 5], atol=1e-3)
    assert np.median(radius) == pytest.approx(1.7 * np.sqrt(0.8 * 0.7), rel=0.1)


def test_measurements_are_those_of_the_shapes(folder):
    table = pd.read_csv(folder / "measurements.csv", index_col="root")
    mm = np.linalg.norm(OBLIQUE[:3, 2])
    assert table.loc["S1_D_R", "length_mm"] == pytest.approx(35 * mm, rel=0.03)
    assert table.loc["L4_D_L", "joined_mm"] == pytest.approx(4 * mm, abs=1.5)
    assert table.loc["S1_D_R", "joined_mm"] == 0
    assert table.loc["L3_D_L", "angle_to_cord_deg"] < 6
    assert np.isnan(table.loc["S1_D_R", "angle_to_cord_deg"])  # it does not touch the cord
    assert table.loc["L3_D_L", "exit_s_mm"] > table.loc["L3_D_L", "end_s_mm"] + 4
    apart = np.linalg.norm(OBLIQUE[:3, 0] * 8) - (1.3 + 1.7) * np.sqrt(0.8 * 0.7)
    assert table.loc["S1_D_R", "nearest_root"] == "L4_D_L"
    assert table.loc["S1_D_R", "nearest_root_mm"] == pytest.approx(apart, abs=0.5)
    back = 22 - 12 * np.sqrt(1 - (5 / 11) ** 2)  # of the sac, at the root's place
    dura = (14 - back) * np.linalg.norm(OBLIQUE[:3, 1])
    assert table.loc["S1_D_R", "dorsal_dura_least_mm"] == pytest.approx(dura, abs=0.8)


def test_without_a_tissue_map_the_rest_is_measured_and_the_sac_is_missing(person):
    bare = scene(person[0])
    assert [part.name for part in bare.parts] == ["L3_D_L", "L4_D_L", "L4_D_L_joined", "S1_D_R"]
    table = measure(bare.ways, None)
    assert table["intradural_length_mm"].isna().all()
    assert table["length_mm"].notna().all()


def test_a_sac_is_whole_where_roots_dent_it():
    x, y, _ = np.indices((40, 40, 6))
    whole = np.hypot(x - 20, y - 20) < 10
    tissues = np.where(whole, 2, 0).astype(np.uint8)
    tissues[(np.hypot(x - 20, y - 11) < 1.6) | (np.hypot(x - 20, y - 20) < 1.5)] = 0
    sac = Canal.of(tissues, np.eye(4)).sac
    assert np.count_nonzero(sac != whole) < 0.02 * whole.sum()


@pytest.mark.parametrize("voxels", [100, 400])
def test_smoothing_keeps_the_volume_from_a_hundred_voxels_on(voxels):
    rng = np.random.default_rng(voxels)
    mask = np.zeros((30, 30, voxels // 4 + 8), bool)
    mask[12:14, 12:14, 4 : 4 + voxels // 4] = True  # a thread of two voxels
    for shift in rng.uniform(0, 1, (3, 3)):
        affine = OBLIQUE.copy()
        affine[:3, 3] += shift
        surface = surface_of(mask, affine, 0.5, triangle_mm=0.8)
        volume = mask.sum() * abs(np.linalg.det(affine[:3, :3]))
        assert surface.volume == pytest.approx(volume, rel=0.05)
        assert surface.is_watertight
        assert len(surface.split(only_watertight=True)) == 1


def test_crossings_are_found_where_they_are_and_nowhere_else():
    ball = trimesh.creation.icosphere(3)
    assert not crosses_itself(ball)
    two = trimesh.util.concatenate([ball, ball.copy().apply_translation([1.2, 0.1, 0.05])])
    pairs = crossings(two.vertices, two.faces)
    first, second = (two.triangles_center[pairs[:, k]] for k in (0, 1))
    assert len(pairs) > 50
    assert (np.abs(np.concatenate([first, second])[:, 0] - 0.6) < 0.35).all()
    apart = trimesh.util.concatenate([ball, ball.copy().apply_translation([2.1, 0, 0])])
    assert not crosses_itself(apart)


def test_fewer_triangles_leave_a_surface_closed_and_as_large():
    ball = trimesh.creation.icosphere(5, radius=6)
    less = fewer(ball, 1.5)
    assert len(less.faces) < len(ball.faces) / 3
    assert less.is_watertight
    assert less.volume == pytest.approx(ball.volume, rel=0.011)


def test_a_picture_shows_every_part_in_its_colour(found):
    import io

    from PIL import Image

    png = scene_picture(found.parts, views=["from behind"], size_px=(300, 500))
    pixels = np.asarray(Image.open(io.BytesIO(png)))[..., :3].astype(int)
    drawn = pixels[np.ptp(pixels, axis=2) > 40]
    for part in found.of_kind(ROOT):
        wanted = np.array(part.colour) / np.linalg.norm(part.colour)
        shades = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        assert (shades @ wanted > 0.97).sum() > 30, part.name


def test_a_volume_mesh_has_the_tissues_at_their_places_and_in_their_amounts(
    person, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    roots, tissues = (volume.crop((slice(0, 44), slice(0, 44), slice(24, 44))) for volume in person)
    small = scene(roots, tissues, triangle_mm=2.0)
    mesh = volume_mesh(small.parts, roots, tissues, small.canal)
    corners = mesh.points_mm[mesh.tetrahedra]
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6
    inside = small.canal.sac.sum() * roots.grid.voxel_mm3
    assert volume.sum() == pytest.approx(inside, rel=0.1)
    cord = (tissues.data == 1).sum() * roots.grid.voxel_mm3
    assert volume[mesh.tissue == 1].sum() == pytest.approx(cord, rel=0.15)
    assert list(tmp_path.iterdir()) == []  # nothing left where it ran
    write_volume_mesh(tmp_path, mesh)
    for name, data in (("volume.vtu", "tissue"), ("volume.msh", "gmsh:physical")):
        read = meshio.read(tmp_path / name)
        assert np.allclose(read.points, mesh.points_mm, atol=1e-6)
        assert np.array_equal(read.cell_data[data][0], mesh.tissue)
    assert set(np.unique(mesh.root)) <= {0, L3.value, L4.value, S1.value}
