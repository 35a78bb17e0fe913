"""Surfaces, trajectories and measurements of shapes whose length, width and volume are known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import qmc
from skimage.measure import marching_cubes

from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.files import write_json
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.pipeline import params
from spinalroots.reconstruct import accuracy, case, surfaces
from spinalroots.reconstruct.surfaces import surface_of
from spinalroots.reconstruct.trajectories import trace_root
from spinalroots.registry.anatomy import Root, Scheme
from spinalroots.stages import reconstruct as stage

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
SPACING = np.array([0.5, 0.6, 0.8])
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = (-12.0, 30.0, 7.0)


def _places(shape):
    grid = np.indices(shape).reshape(3, -1).T
    return (grid @ AFFINE[:3, :3].T + AFFINE[:3, 3]).reshape(*shape, 3)


def _tube(ends_mm, radius_mm, shape=(60, 50, 60)):
    """Mask of a straight tube with flat ends."""
    first, last = np.asarray(ends_mm, float)
    axis = (last - first) / np.linalg.norm(last - first)
    away = _places(shape) - first
    along = away @ axis
    across = np.linalg.norm(away - along[..., None] * axis, axis=-1)
    return (across < radius_mm) & (along >= 0) & (along <= np.linalg.norm(last - first))


def test_a_ball_s_surface_is_closed_and_has_the_mask_s_volume_and_place():
    centre = np.array([3.0, 44.0, 30.0])
    mask = np.linalg.norm(_places((60, 50, 60)) - centre, axis=-1) < 5
    surface = surface_of(mask, AFFINE, smoothing_mm=0.5)
    assert surface.is_watertight
    assert surface.volume == pytest.approx(mask.sum() * SPACING.prod(), rel=0.03)
    assert np.allclose(surface.center_mass, centre, atol=0.15)


def test_a_surface_that_a_voxel_pinches_is_closed(monkeypatch):
    """Voxels as bright as the level itself make marching cubes meet in a point."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = np.zeros((9, 9, 9), bool)
        mask[2:7, 2:7, 2:7] = rng.random((5, 5, 5)) > 0.4
        field = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
        level = float(np.sort(field[field > 0.3])[rng.integers(10)])
        shape = marching_cubes(field, level, allow_degenerate=False)[:2]
        if not trimesh.Trimesh(*shape).is_watertight:
            break
    assert not trimesh.Trimesh(*shape).is_watertight
    monkeypatch.setattr(surfaces, "_field", lambda *_: field)
    monkeypatch.setattr(surfaces, "_cut", lambda *_: (level, *shape))
    surface = surface_of(mask, np.eye(4), smoothing_mm=0.5)
    assert surface.is_watertight
    # Half as long each way: surfaces are cut from a grid twice as fine as the mask.
    assert 8 * surface.volume == pytest.approx(abs(trimesh.Trimesh(*shape).volume), rel=0.05)


def test_a_thread_one_voxel_wide_keeps_a_surface_when_smoothed():
    mask = np.zeros((20, 20, 40), bool)
    mask[10, 10, 5:35] = True
    surface = surface_of(mask, AFFINE, smoothing_mm=0.5)
    assert surface.is_watertight
    assert surface.volume == pytest.approx(30 * SPACING.prod(), rel=0.5)
    assert np.ptp(surface.vertices[:, 2]) > 0.75 * 30 * SPACING[2]


def test_a_tube_s_trajectory_has_its_length_its_width_and_runs_downwards():
    ends = np.array([[-5.0, 38.0, 46.0], [8.0, 50.0, 14.0]])
    way = trace_root(_tube(ends, 1.5), AFFINE, spacing_mm=1.0)
    length = np.linalg.norm(ends[1] - ends[0])
    assert way.length_mm == pytest.approx(length, rel=0.06)
    assert way.mean_diameter_mm == pytest.approx(3.0, rel=0.06)
    assert np.median(way.diameter_mm) == pytest.approx(3.0, rel=0.1)
    assert np.allclose(way.points_mm[0], ends[0], atol=1.5)
    assert np.allclose(way.points_mm[-1], ends[1], atol=1.5)
    axis = (ends[1] - ends[0]) / length
    away = way.points_mm - ends[0]
    aside = np.linalg.norm(away - (away @ axis)[:, None] * axis, axis=1)
    assert aside[2:-2].max() < 0.3
    assert aside.max() < 1.0
    assert (np.diff(way.points_mm[:, 2]) < 0).all()


def _tubes(lines_mm, radius_mm, start):
    """Mask of tubes with flat ends about dense lines (N, 3), and its affine from `start` on."""
    middle_mm = np.concatenate(lines_mm)
    affine = AFFINE.copy()
    affine[:3, 3] = middle_mm.min(axis=0) - radius_mm - SPACING * (2 + start)
    size = np.ceil((middle_mm.max(axis=0) + radius_mm - affine[:3, 3]) / SPACING).astype(int) + 3
    places = np.indices(size).reshape(3, -1).T * SPACING + affine[:3, 3]
    mask = np.zeros(len(places), bool)
    for line in lines_mm:
        away, nearest = cKDTree(line).query(places, distance_upper_bound=radius_mm)
        own = np.isfinite(away)
        for end, neighbour in ((0, 1), (len(line) - 1, len(line) - 2)):
            beyond = (places - line[end]) @ (line[end] - line[neighbour]) > 0
            own &= ~((nearest == end) & beyond)
        mask |= own
    return mask.reshape(size), affine


def _placed(lines_mm, count):
    """Lines in `count` places of the grid, evenly spread over a voxel, every other one turned."""
    starts = qmc.Halton(3, scramble=False).random(count + 1)[1:]
    turns = Rotation.random(count, random_state=1)
    for number, (start, turn) in enumerate(zip(starts, turns, strict=True)):
        yield [turn.apply(line) if number % 2 else line for line in lines_mm], start


PLACES = {4: 24, 8: 16, 16: 8, 40: 4}
"""Placements by length in mm. One alone is known to no better than the voxel that its end is in."""


@pytest.mark.parametrize("length_mm", PLACES)
@pytest.mark.parametrize("shape", ["straight", "slanted", "flat", "curved"])
def test_a_trajectory_is_as_long_as_its_tube_from_end_to_end(shape, length_mm):
    along = np.linspace(0, length_mm, 40 * length_mm)[:, None]
    if shape == "curved":
        turn = along[:, 0] / 20
        plane = np.array([[0.8, 0.6, 0], [0, 0, -1.0]])
        middle = 20 * np.stack([1 - np.cos(turn), np.sin(turn)], axis=1) @ plane
    else:
        way = np.array(
            {"straight": [0, 0, -1], "slanted": [0.5, 0.3, -1], "flat": [1, 0.4, -0.3]}[shape]
        )
        middle = along * way / np.linalg.norm(way)
    for radius_mm in (1.25, 1.5):
        lengths, widths = [], []
        for (line,), start in _placed([middle], PLACES[length_mm] // 2):
            way = trace_root(*_tubes([line], radius_mm, start))
            assert way.mean_diameter_mm == pytest.approx(2 * radius_mm, rel=0.1)
            assert np.median(way.diameter_mm) == pytest.approx(2 * radius_mm, rel=0.1)
            found = way.points_mm[[0, -1]]
            off = min(np.abs(found - line[ends]).max() for ends in ([0, -1], [-1, 0]))
            assert off < 0.6
            lengths.append(way.length_mm)
            widths.append(way.mean_diameter_mm)
        assert np.mean(lengths) == pytest.approx(length_mm, rel=0.03)
        assert np.mean(widths) == pytest.approx(2 * radius_mm, rel=0.05)


@pytest.mark.parametrize("length_mm", PLACES)
def test_a_branching_tube_is_as_long_as_its_longest_way(length_mm):
    """Two branches, one of them shorter by a fifth, meet halfway; together they are one root."""
    half = np.linspace(0, length_mm / 2, 20 * length_mm)[:, None]
    apart = np.array([0.35, 0.1, 1.0]) / np.linalg.norm([0.35, 0.1, 1.0])
    aside = np.array([-0.45, 0.05, 1.0]) / np.linalg.norm([-0.45, 0.05, 1.0])
    trunk = half[::-1] * [0, 0, -1.0]
    long = np.concatenate([trunk, half * apart])
    short = np.concatenate([trunk, half[: len(half) * 4 // 5] * aside])
    for radius_mm in (0.8, 1.0):
        lengths, strands, off_mm = [], [], []
        for lines, start in _placed([long, short], PLACES[length_mm]):
            way = trace_root(*_tubes(lines, radius_mm, start))
            lengths.append(way.length_mm)
            strands.append(way.strands.max())
            ends = way.points_mm[[0, -1]]
            off_mm.append(np.linalg.norm(ends - lines[0][-1], axis=1).min())
            aside_mm = cKDTree(lines[0]).query(way.points_mm)[0]
            assert np.median(aside_mm) < 0.35
        assert np.mean(lengths) == pytest.approx(length_mm, rel=0.03)
        if length_mm >= 8:  # at its own end, not between those of both
            assert np.mean(off_mm) < 0.6
        if length_mm >= 16:
            assert np.mean(strands) >= 2


def test_thin_is_said_of_threads_of_single_voxels_only():
    mask = np.zeros((20, 20, 40), bool)
    mask[10, 10, 5:35] = True
    assert trace_root(mask, AFFINE).thin.all()
    mask[9:12, 9:12, 5:35] = True
    assert not trace_root(mask, AFFINE).thin.any()


def test_parts_within_reach_are_joined_in_order_and_the_others_left_out():
    tube = _tube([[0.0, 45.0, 50.0], [0.0, 45.0, 10.0]], 1.2)
    height = _places(tube.shape)[..., 2]
    gaps = tube & ~((height > 38) & (height < 42)) & ~((height > 12) & (height < 30))
    way = trace_root(gaps, AFFINE, spacing_mm=1.0, gap_mm=6.0)
    assert way.parts == 3
    assert way.points_mm[:, 2].max() > 48
    assert way.points_mm[:, 2].min() == pytest.approx(30, abs=1.5)
    assert way.left_out_mm3 == pytest.approx((gaps & (height < 20)).sum() * SPACING.prod())
    assert way.length_mm == pytest.approx(20, rel=0.1)


def test_a_single_voxel_is_a_trajectory_too():
    mask = np.zeros((8, 8, 8), bool)
    mask[3, 4, 5] = True
    way = trace_root(mask, AFFINE)
    assert np.isfinite(way.points_mm).all()
    assert way.volume_mm3 == pytest.approx(SPACING.prod())


@pytest.fixture
def individuals():
    data = np.zeros((60, 50, 60), np.uint8)
    data[_tube([[-3.0, 45.0, 50.0], [-8.0, 40.0, 12.0]], 1.0)] = Root.parse("L3_D_L").value
    data[_tube([[3.0, 45.0, 50.0], [8.0, 40.0, 20.0]], 1.0)] = Root.parse("L3_D_R").value
    return Volume(data, AFFINE)


def test_a_case_s_folder_holds_matching_surfaces_trajectories_and_measurements(
    individuals, tmp_path
):
    table = case(individuals, tmp_path / "model").set_index("root")
    assert list(table.index) == ["L3_D_L", "L3_D_R"]
    measured = pd.read_csv(tmp_path / "model" / "measurements.csv", index_col="root")
    assert np.allclose(measured["length_mm"], table["length_mm"], atol=1e-3)
    left = trimesh.load(tmp_path / "model" / "surfaces" / "L3_D_L.stl")
    right = trimesh.load(tmp_path / "model" / "surfaces" / "L3_D_R.stl")
    assert left.bounds[1, 0] < 0 < right.bounds[0, 0]
    whole = trimesh.load(tmp_path / "model" / "scene.ply")
    assert len(whole.faces) == len(left.faces) + len(right.faces)
    assert len(np.unique(whole.visual.vertex_colors, axis=0)) == 2
    record = json.loads((tmp_path / "model" / "trajectories.json").read_text(encoding="utf-8"))[
        "roots"
    ]["L3_D_R"]
    points = pd.read_csv(tmp_path / "model" / "trajectories.csv").query("root == 'L3_D_R'")
    columns = ["right_mm", "anterior_mm", "superior_mm"]
    assert np.allclose(record["points_mm"], points[columns], atol=1e-3)
    assert points["along_mm"].iloc[-1] == pytest.approx(record["length_mm"], abs=0.01)


def test_the_same_map_gives_the_same_bytes(individuals, tmp_path):
    for name in ("one", "two"):
        case(individuals, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 15
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_an_empty_map_is_refused_and_nothing_written(individuals, tmp_path):
    with pytest.raises(InputError, match="nothing to reconstruct"):
        case(individuals.with_data(np.zeros_like(individuals.data)), tmp_path / "model")
    assert not any(tmp_path.iterdir())


def test_the_stage_reconstructs_the_test_cases_and_names_those_without_roots(
    individuals, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    knobs = params.load(PARAMS, scale="paper").model_copy(update={"workers": 1})
    write_json(Path("data/split.json"), {"train": [], "validation": [], "test": ["sub-1", "sub-2"]})
    with pytest.raises(InputError, match="Choose another model"):
        stage.main(knobs)
    folder = Dataset(Path("data/postprocessed") / knobs.reconstruct.model)
    write_volume(folder.labels("sub-1", Scheme.INDIVIDUALS), individuals)
    empty = individuals.with_data(np.zeros_like(individuals.data))
    write_volume(folder.labels("sub-2", Scheme.INDIVIDUALS), empty)
    stage.main(knobs)
    assert (Path("reports/reconstruction") / "sub-1" / "scene.ply").is_file()
    assert "sub-2" in Path("reports/reconstruction/without_roots.txt").read_text(encoding="utf-8")


def _true_root(ends_mm, rootlet_mm=6.0, in_sac=25):
    """What a phantom's truth says of a root along a line, its rootlet the first few mm of it."""
    first, last = np.asarray(ends_mm, float)
    length = float(np.linalg.norm(last - first))
    points = first + np.arange(0, length, 1.0)[:, None] * (last - first) / length
    split = int(rootlet_mm)
    return {
        "trunk_ras_mm": points[split:].tolist(),
        "trunk_points_in_sac": in_sac,
        "rootlets_ras_mm": [points[: split + 1].tolist()],
        "rootlet_diameter_mm": 2.0,
        "diameter_mm": 2.0,
    }


def test_the_stage_holds_a_phantom_against_its_true_courses(individuals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    knobs = params.load(PARAMS, scale="paper").model_copy(update={"workers": 1})
    write_json(Path("data/split.json"), {"train": [], "validation": [], "test": ["sub-1"]})
    tissues = np.where(_places((60, 50, 60))[..., 2] > 20.5, 2, 0).astype(np.uint8)
    for root, predicted in ((Path("data/truth"), False), (None, True)):
        folder = Dataset(root or Path("data/postprocessed") / knobs.reconstruct.model)
        data = individuals.data.copy()
        if predicted:  # the right root is missed, the left one is called L4 and cut short
            data[data == Root.parse("L3_D_R").value] = 0
            data[data > 0] = Root.parse("L4_D_L").value
        write_volume(folder.labels("sub-1", Scheme.INDIVIDUALS), individuals.with_data(data))
        write_volume(folder.labels("sub-1", Scheme.TISSUES), individuals.with_data(tissues))
    left, right = [[-3.0, 45.0, 50.0], [-8.0, 40.0, 12.0]], [[3.0, 45.0, 50.0], [8.0, 40.0, 20.0]]
    apart = [[-3.0, 45.0, 30.0], [-8.0, 40.0, 12.0]]
    write_json(
        Path("data/truth/subjects/sub-1.json"),
        {
            "roots": {
                "L3_D_L": _true_root(left, in_sac=23),
                "L3_D_R": _true_root(right, in_sac=23),
                "L4_D_L": _true_root(apart, in_sac=4),
            }
        },
    )
    stage.main(knobs)
    table = pd.read_csv("reports/reconstruction.csv").set_index(["masks", "root"])
    true = table.loc["true"]
    assert list(true["found"]) == [True, True, False]
    assert true.loc["L3_D_L", "length_mm"] == pytest.approx(29.8, abs=1.5)
    assert true.loc["L3_D_L", "true_length_mm"] == pytest.approx(28, abs=0.2)
    assert true.loc["L3_D_L", "diameter_mm"] == pytest.approx(2.0, abs=0.15)
    volume = np.pi * np.linalg.norm(np.subtract(*left))
    assert true.loc["L3_D_L", "true_volume_mm3"] == pytest.approx(volume, rel=0.04)
    assert true.loc["L3_D_L", "surface_mm3"] == pytest.approx(volume, rel=0.06)
    assert list(true["entry_level"][:2]) == ["L3", "L3"]
    assert true.loc["L3_D_L", "aside_median_mm"] < 0.2
    found = table.loc["predicted"]
    assert list(found["found"]) == [False, False, True]
    assert found.loc["L4_D_L", "entry_level"] == "L3"  # where it begins, L3 does
    summed = accuracy.summary(table.reset_index()).set_index("masks")
    assert summed.loc["true", "entry_level_right"] == 1
    assert summed.loc["predicted", "entry_level_right"] == 0
    assert list(summed["found"]) == [2, 1]
