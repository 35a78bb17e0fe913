"""Left and right, and what else happens to a prediction."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid, Volume, read_labels, write_volume
from spinalroots.pipeline import params
from spinalroots.postprocess import sides
from spinalroots.postprocess.sides import root_maps
from spinalroots.registry import anatomy
from spinalroots.registry.anatomy import Root, Scheme, Side, Target, Type
from spinalroots.stages import postprocess as stage

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
SPACING = np.array([0.7, 0.7, 0.9])


def _cauda(turn_deg=0.0, bend_mm=0.0, reach_mm=None, radius_mm=0.9, line_error_mm=0.0, seed=0):
    """True individual map and centreline of paired tubes that run down a bent, turned sac.

    Lower levels lie nearer to the midline: S3 at 1 mm, so that its tubes touch.
    """
    shape = (64, 48, 80)
    x, y, z = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(shape, SPACING, strict=True)), indexing="ij"
    )
    generator = np.random.default_rng(seed)
    middle = 22.0 + bend_mm * np.sin(z / 22)
    turn = np.deg2rad(turn_deg) * np.sin(z / 40)
    aside, forward = x - middle, y - 17.0
    across = aside * np.cos(turn) + forward * np.sin(turn)
    ahead = forward * np.cos(turn) - aside * np.sin(turn)
    truth, nearest = np.zeros(shape, np.uint8), np.full(shape, radius_mm)
    for level, far in (reach_mm or {"S3": 1.0, "S2": 2.2, "S1": 4.0, "L5": 6.0}).items():
        for side, sign in ((Side.LEFT, -1), (Side.RIGHT, 1)):
            wander = 0.3 * np.sin(z / 9 + generator.uniform(0, 6))
            back = -5.0 + 0.6 * far
            distance = np.hypot(across - sign * far - wander, ahead - back)
            root = Root(anatomy.LEVELS.index(level), Type.DORSAL, side)
            truth[distance < nearest] = root.value
            np.minimum(nearest, distance, out=nearest)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-20, -15, 40)
    k = np.arange(shape[2])
    centre = np.column_stack(
        [22.0 + line_error_mm + bend_mm * np.sin(k * SPACING[2] / 22), np.full(len(k), 17.0)]
    )
    line = Centreline.from_slices(np.column_stack([centre / SPACING[:2], k]), affine, "truth")
    return Volume(truth, affine), line


def _share_right(truth, line):
    levels = anatomy.individuals_to_levels(truth.data)
    found = sides.split_sides(levels, truth.grid, line)
    assert np.array_equal(anatomy.individuals_to_levels(found), levels)
    return (found == truth.data)[truth.data > 0].mean()


@pytest.mark.parametrize(
    ("turn_deg", "bend_mm", "line_error_mm"),
    [(0, 0, 0), (0, 12, 0), (15, 0, 0), (-20, 8, 0), (10, 6, 0.8)],
)
def test_sides_are_right_in_bent_and_turned_spines(turn_deg, bend_mm, line_error_mm):
    truth, line = _cauda(turn_deg, bend_mm, line_error_mm=line_error_mm)
    assert _share_right(truth, line) > 0.99


def test_touching_roots_are_cut_and_a_root_that_bulges_across_is_not():
    """Two bars that touch over half their length, one bulging over the midline elsewhere."""
    truth = np.zeros((40, 20, 40), np.uint8)
    left, right = (Root.parse(f"S2_D_{side}").value for side in "LR")
    truth[17:20, 8:11, 4:36] = left
    truth[20:23, 8:11, 4:20] = right
    truth[23:26, 8:11, 20:36] = right
    truth[20:21, 8:11, 28:32] = left
    affine = np.eye(4)
    line = Centreline.from_slices(
        np.column_stack([np.full(40, 19.5), np.full(40, 12.0), np.arange(40)]), affine, "truth"
    )
    levels = anatomy.individuals_to_levels(truth)
    found = sides.split_sides(levels, Volume(truth, affine).grid, line)
    assert np.array_equal(found, truth)


def test_the_cut_is_the_cheapest_of_all_divisions():
    generator = np.random.default_rng(2)
    voxels = np.array([(x, y, 0) for x in range(4) for y in range(3)])
    aside_mm = generator.normal(0, 1, len(voxels))
    spacing = np.array([1.0, 1.3, 0.8])
    first, second, area = sides._faces(voxels, spacing)

    def cost(right):
        wrong = np.where(right, -aside_mm, aside_mm).clip(0) * spacing.prod()
        return wrong.sum() + area[right[first] != right[second]].sum()

    divisions = [np.array(choice) for choice in itertools.product((False, True), repeat=12)]
    best = min(cost(choice) for choice in divisions)
    found = sides.cut_parts(voxels, np.ones(12, int), aside_mm, spacing, 1.0)
    assert cost(found) == pytest.approx(best, abs=0.02)


def test_an_empty_level_map_has_no_sides():
    truth, line = _cauda()
    assert not sides.split_sides(np.zeros_like(truth.data), truth.grid, line).any()


def test_islands_go_and_parts_joined_at_a_corner_stay():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[1:3, 1:3, 1:3] = 20
    labels[3, 3, 3] = 20
    labels[8, 8, 8] = 20
    labels[5:7, 5, 5] = 21
    _, line = _cauda()

    def kept(spacing_mm, island_mm3):
        volume = Volume(labels, np.diag([*spacing_mm, 1.0]))
        maps = root_maps(
            volume, Target.of("individuals"), line, island_mm3=island_mm3, side_pull=3.0
        )
        return maps[Scheme.INDIVIDUALS].data

    expected = labels.copy()
    expected[8, 8, 8] = 0
    assert np.array_equal(kept((1.0, 1.0, 0.5), 1.0), expected)
    assert (kept((1.0, 1.0, 1.0), 3.0) == 21).sum() == 0


@pytest.mark.parametrize("turn_deg", range(0, 40, 3))
def test_a_part_exactly_as_large_as_the_least_island_stays_however_the_scan_lies(turn_deg):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, 1:4] = 20
    turn = np.deg2rad(turn_deg)
    affine = np.diag([0.7, 0.7, 1.2, 1.0])
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]] @ affine[:2, :2]
    line = Centreline(np.array([[1.0, 1, 0], [1, 1, 4]]), "truth")
    maps = root_maps(
        Volume(labels, affine),
        Target.of("individuals"),
        line,
        island_mm3=3 * 0.7 * 0.7 * 1.2,
        side_pull=3.0,
    )
    assert np.array_equal(maps[Scheme.INDIVIDUALS].data, labels)


@pytest.fixture
def knobs():
    return {"island_mm3": 0.0, "side_pull": 3.0}


def test_the_three_maps_of_a_level_prediction_agree(knobs):
    truth, line = _cauda()
    levels = truth.with_data(anatomy.individuals_to_levels(truth.data))
    maps = root_maps(levels, Target.of("levels"), line, **knobs)
    assert np.array_equal(maps[Scheme.LEVELS].data, levels.data)
    assert np.array_equal(anatomy.individuals_to_levels(maps[Scheme.INDIVIDUALS].data), levels.data)
    assert np.array_equal(maps[Scheme.ENTITY].data, (truth.data > 0).astype(np.uint8))


def test_an_individual_prediction_keeps_its_own_sides(knobs):
    truth, line = _cauda()
    crossed = truth.with_data(anatomy.swap_sides(truth.data))
    maps = root_maps(crossed, Target.of("individuals"), line, **knobs)
    assert np.array_equal(maps[Scheme.INDIVIDUALS].data, crossed.data)
    assert np.array_equal(maps[Scheme.LEVELS].data, anatomy.individuals_to_levels(truth.data))


def test_a_ventral_target_gives_ventral_roots(knobs):
    truth, line = _cauda()
    levels = truth.with_data(anatomy.individuals_to_levels(truth.data))
    maps = root_maps(levels, Target.of("levels", types=(Type.VENTRAL,)), line, **knobs)
    found = {
        Root.from_value(int(value)).type for value in np.unique(maps[Scheme.INDIVIDUALS].data)[1:]
    }
    assert found == {Type.VENTRAL}


def test_the_stage_writes_maps_on_the_scan_s_own_grid(tmp_path, monkeypatch):
    """Stored left-posterior-superior, as scanners do, the maps come back that way."""
    monkeypatch.chdir(tmp_path)
    truth, line = _cauda()
    turned = truth.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    turned[:3, 3] = truth.affine[:3, :3] @ (*(np.array(truth.data.shape[:2]) - 1), 0)
    turned[:3, 3] += truth.affine[:3, 3]
    native = Grid(truth.data.shape, turned)
    levels = truth.with_data(anatomy.individuals_to_levels(truth.data))
    predicted = Dataset(Path("data/predictions/nnunet-all-levels"))
    write_volume(predicted.labels("sub-01", Scheme.LEVELS), levels, native=native)
    line.write(Path("data/centreline/raw/sub-01.json"))
    stage.main(params.load(PARAMS, scale="smoke").model_copy(update={"workers": 1}))
    written = Dataset(Path("data/postprocessed/nnunet-all-levels"))
    path = written.labels("sub-01", Scheme.INDIVIDUALS)
    assert np.allclose(nib.load(path).affine, turned)
    found = read_labels(path).data
    assert (found == truth.data)[truth.data > 0].mean() > 0.99
    assert written.has("sub-01", Scheme.ENTITY)
    assert written.has("sub-01", Scheme.LEVELS)
    assert path.parents[2].joinpath("label-individuals_dseg.tsv").is_file()
