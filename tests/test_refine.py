"""Refinement: flood fill against a naive reference, crop with a way back, gain on a phantom."""

from __future__ import annotations

import dataclasses
import heapq
from itertools import product

import numpy as np
import pandas as pd
import pytest

from spinalroots.dataset.layout import ANATOMY_MAP, Dataset
from spinalroots.dataset.selection import SelectedCase
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json, write_json
from spinalroots.imaging.boxes import put_back
from spinalroots.imaging.volume import Volume, read_image, read_labels, write_volume
from spinalroots.phantom.case import ROOT, ROOT_OUTSIDE
from spinalroots.refine.annotation import Annotation, read_annotation
from spinalroots.refine.dataset import gain, refine_dataset
from spinalroots.refine.flood_fill import flood_fill, neighbour_offsets
from spinalroots.refine.refinement import annotated_box, grow, refine, with_levels
from spinalroots.refine.summary import gain_table, summary
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels
from spinalroots.stages import refine as stage

L3_LEFT, L3_RIGHT, L4_LEFT = (Root.parse(name).value for name in ("L3_D_L", "L3_D_R", "L4_D_L"))
L3_VENTRAL = Root.parse("L3_V_L").value


def naive_distances(sources, inside, spacing_mm, connectivity):
    """Geodesic distance (X, Y, Z) from the voxels `sources`, voxel by voxel with a heap."""
    distance = np.full(inside.shape, np.inf)
    heap = []
    for voxel in map(tuple, np.argwhere(sources & inside)):
        distance[voxel] = 0
        heapq.heappush(heap, (0.0, voxel))
    while heap:
        reached, voxel = heapq.heappop(heap)
        if reached > distance[voxel]:
            continue
        for offset in product((-1, 0, 1), repeat=3):
            steps = sum(map(abs, offset))
            if not 0 < steps <= {6: 1, 18: 2, 26: 3}[connectivity]:
                continue
            other = tuple(np.add(voxel, offset))
            if any(i < 0 or i >= n for i, n in zip(other, inside.shape, strict=True)):
                continue
            further = reached + float(np.linalg.norm(np.multiply(offset, spacing_mm)))
            if inside[other] and further < distance[other] - 1e-12:
                distance[other] = further
                heapq.heappush(heap, (further, other))
    return distance


def random_scene(seed, share=0.45, seeds=6):
    """A porous mask with a few seeds of three labels, some of them outside the mask."""
    rng = np.random.default_rng(seed)
    entity = rng.random((9, 8, 7)) < share
    labels = np.zeros(entity.shape, np.uint8)
    for place in rng.choice(labels.size, seeds, replace=False):
        labels.flat[place] = rng.integers(1, 4)
    return labels, entity


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.7, 3.1)])
@pytest.mark.parametrize("seed", range(4))
def test_flood_fill_takes_the_nearest_label_of_a_naive_dijkstra(connectivity, spacing_mm, seed):
    labels, entity = random_scene(seed)
    filled = flood_fill(labels, entity, spacing_mm, connectivity)
    values = [value for value in (1, 2, 3) if ((labels == value) & entity).any()]
    distances = {
        value: naive_distances(labels == value, entity, spacing_mm, connectivity)
        for value in values
    }
    nearest = np.min(list(distances.values()), axis=0)
    assert np.array_equal(filled.labels != 0, np.isfinite(nearest))
    assert filled.unreachable_voxels == np.count_nonzero(entity & ~np.isfinite(nearest))
    for value in values:
        mine = filled.labels == value
        assert np.allclose(distances[value][mine], nearest[mine])


def test_flood_fill_never_leaves_the_entity_mask_and_counts_the_spill():
    labels, entity = random_scene(11, seeds=40)
    filled = flood_fill(labels, entity, (1, 1, 2))
    assert not filled.labels[~entity].any()
    assert filled.spill_voxels == np.count_nonzero((labels != 0) & ~entity) > 0
    assert np.array_equal(filled.labels[entity & (labels != 0)], labels[entity & (labels != 0)])


def test_a_root_does_not_take_voxels_of_another_through_the_gap_between_them():
    entity = np.zeros((5, 5, 12), bool)
    entity[1, 2], entity[3, 2] = True, True
    labels = np.zeros(entity.shape, np.uint8)
    labels[1, 2, 0], labels[3, 2, 11] = 1, 2
    filled = flood_fill(labels, entity, (0.1, 1, 1))
    assert (filled.labels[1, 2] == 1).all()
    assert (filled.labels[3, 2] == 2).all()


def test_touching_roots_meet_halfway_in_mm_not_in_voxels():
    entity = np.zeros((3, 3, 9), bool)
    entity[1, 1] = True
    entity[:, 1, 4] = True
    labels = np.zeros(entity.shape, np.uint8)
    labels[1, 1, 0], labels[0, 1, 4] = 1, 2
    far_up = flood_fill(labels, entity, (6.0, 1, 1)).labels[1, 1, 4]
    far_across = flood_fill(labels, entity, (1.0, 1, 6)).labels[1, 1, 4]
    assert (far_up, far_across) == (1, 2)


def test_voxels_without_a_path_stay_unlabelled_and_are_counted():
    entity = np.zeros((7, 3, 3), bool)
    entity[0:3, 1, 1] = entity[5:7, 1, 1] = True
    labels = np.zeros(entity.shape, np.uint8)
    labels[0, 1, 1] = 9
    filled = flood_fill(labels, entity, (1, 1, 1))
    assert filled.labels[:, 1, 1].tolist() == [9, 9, 9, 0, 0, 0, 0]
    assert filled.unreachable_voxels == 2
    nobody = flood_fill(np.zeros_like(labels), entity, (1, 1, 1))
    assert nobody.unreachable_voxels == 5


def test_an_empty_mask_is_no_error():
    nothing = np.zeros((3, 3, 3), np.uint8)
    assert flood_fill(nothing, nothing, (1, 1, 1)).unreachable_voxels == 0


def test_neighbourhoods_have_their_sizes():
    assert [len(neighbour_offsets(number)) for number in (6, 18, 26)] == [6, 18, 26]


def column(*pieces, entity=(0, 30), levels=True):
    """A straight root in the middle of a 9×9×30 scan; `pieces`: (label, first, last) along z."""
    individuals = np.zeros((9, 9, 30), np.uint8)
    for value, first, last in pieces:
        individuals[3:6, 4, first:last] = value
    mask = np.zeros(individuals.shape, np.uint8)
    mask[3:6, 4, entity[0] : entity[1]] = 1
    tissues = np.zeros(individuals.shape, np.uint8)
    tissues[1:8, 2:7] = 2
    volume = Volume(individuals, np.diag([0.8, 0.8, 2.0, 1.0]))
    level_map = individuals_to_levels(individuals) if levels else None
    return Annotation(volume, mask, level_map, individuals, tissues)


def test_gaps_close_and_only_chosen_classes_stay(smoke_params):
    annotation = column((L3_LEFT, 2, 8), (L3_LEFT, 14, 20), (L3_VENTRAL, 24, 28))
    refined = refine(annotation, smoke_params.refine)
    back = put_back(refined.individuals, refined.box, (9, 9, 30))[4, 4]
    assert set(np.unique(back)) == {0, L3_LEFT}
    assert (back[:22] == L3_LEFT).all()
    assert not back[22:].any()
    assert np.array_equal(refined.levels, individuals_to_levels(refined.individuals))
    named = put_back(refined.entity, refined.box, (9, 9, 30))[4, 4, :24] * (back[:24] != 0)
    assert named[:22].all()
    assert not named[22:].any()
    assert refined.counts["labelled_after"] == refined.counts["entity"] == 90


def sac_with_a_hole() -> Annotation:
    """A named root, a root of the entity mask alone, and a dark thread at the wall of the sac."""
    drawn = column((L3_LEFT, 4, 20))
    entity, tissues = drawn.entity.copy(), drawn.tissues.copy()
    entity[7, 6, 6:12] = 1
    tissues[2, 5:7], tissues[entity != 0] = 1, 0
    tissues[5:7, 2, 5:18] = 0
    return Annotation(drawn.volume, entity, drawn.levels, drawn.individuals, tissues)


def unnamed(refined) -> np.ndarray:
    return put_back(refined.entity * (refined.levels == 0), refined.box, (9, 9, 30)) != 0


def test_roots_that_the_entity_mask_or_the_sac_shows_are_kept_without_a_name(smoke_params):
    annotation = sac_with_a_hole()
    expected = np.zeros((9, 9, 30), bool)
    expected[7, 6, 6:12] = True
    bare = dataclasses.replace(annotation, tissues=None)
    assert np.array_equal(unnamed(refine(bare, smoke_params.refine)), expected)
    expected[5:7, 2, 5:18] = True
    refined = refine(annotation, smoke_params.refine)
    assert np.array_equal(unnamed(refined), expected)
    marked = dataclasses.replace(annotation, tissues=np.where(expected, 4, annotation.tissues))
    marked.tissues[3, 3, 5:18] = 0
    assert np.array_equal(unnamed(refine(marked, smoke_params.refine)), expected)
    assert refined.counts["unnamed"] == expected.sum() == 6 + 2 * 13
    assert np.array_equal(refined.levels != 0, refined.individuals != 0)


def test_a_hole_says_nothing_where_the_cord_is_not_marked(smoke_params):
    annotation = sac_with_a_hole()
    annotation.tissues[annotation.tissues == 1] = 0
    blind = dataclasses.replace(annotation, entity=None)
    assert not blind.shows_unnamed
    assert not unnamed(refine(blind, smoke_params.refine)).any()


def test_a_swapped_stretch_gets_the_level_that_the_level_map_knows(smoke_params):
    annotation = column((L3_LEFT, 0, 10), (L4_LEFT, 10, 14), (L3_LEFT, 14, 30))
    annotation.levels[:] = np.where(annotation.levels != 0, 23, 0)
    trusting = grow(annotation, smoke_params.refine)
    doubting = grow(annotation, smoke_params.refine.model_copy(update={"trust_levels": False}))
    assert set(np.unique(trusting[0])) == {0, L3_LEFT}
    assert trusting[2]["repaired"] == 12
    assert (doubting[0][4, 4, 10:14] == L4_LEFT).all()


def test_the_level_map_never_invents_a_root_that_nobody_drew():
    individuals = np.array([L3_RIGHT, L3_LEFT, 0], np.uint8)
    levels = np.array([24, 24, 24], np.uint8)
    drawn = np.array([L3_LEFT, L3_RIGHT, L4_LEFT], np.uint8)
    assert with_levels(individuals, levels, drawn).tolist() == [L3_RIGHT, L4_LEFT, 0]


def test_a_case_annotated_by_level_only_is_refined_by_level(smoke_params):
    drawn = column((L3_LEFT, 5, 10), (L4_LEFT, 20, 25))
    annotation = Annotation(drawn.volume, drawn.entity, drawn.levels, None, drawn.tissues)
    refined = refine(annotation, smoke_params.refine)
    assert refined.individuals is None
    levels = put_back(refined.levels, refined.box, (9, 9, 30))[4, 4]
    assert (levels[:15] == 23).all()
    assert (levels[16:] == 24).all()


def test_a_case_without_a_chosen_root_is_left_out(smoke_params):
    assert refine(column((L3_VENTRAL, 3, 9)), smoke_params.refine) is None


def test_a_selection_without_a_class_is_an_error(smoke_params):
    empty = smoke_params.refine.model_copy(update={"regions": ("cervical",)})
    with pytest.raises(InputError, match="at least one level"):
        refine(column((L3_LEFT, 3, 9)), empty)


def test_the_box_keeps_the_margins_in_mm_and_stays_inside():
    roots = np.zeros((40, 40, 50), np.uint8)
    roots[20, 20, 20:30] = 5
    sac = np.zeros_like(roots)
    sac[15:26, 12:30] = 2
    sac[2, 2, 45] = 2
    box = annotated_box(roots, sac, np.array([0.5, 1.0, 2.0]), along_mm=5, around_mm=3)
    assert box == (slice(9, 32), slice(9, 33), slice(17, 33))
    wide = annotated_box(roots, sac, np.array([0.5, 1.0, 2.0]), along_mm=500, around_mm=500)
    assert wide == (slice(0, 40), slice(0, 40), slice(0, 50))
    bare = annotated_box(roots, None, np.array([0.5, 1.0, 2.0]), along_mm=0, around_mm=0)
    assert bare == (slice(20, 21), slice(20, 21), slice(20, 30))
    assert annotated_box(np.zeros_like(roots), sac, np.ones(3), along_mm=1, around_mm=1) is None


def test_gain_is_the_plain_dice(smoke_params):
    from spinalroots.refine.refinement import selection

    rng = np.random.default_rng(5)
    maps = [rng.choice([0, L3_LEFT, L3_RIGHT, L3_VENTRAL], (6, 6, 6)).astype(np.uint8)] * 1
    maps += [rng.choice([0, L3_LEFT, L3_RIGHT], (6, 6, 6)).astype(np.uint8) for _ in range(2)]
    drawn, refined, truth = maps
    measured = gain(drawn, refined, truth, np.ones_like(truth), selection(smoke_params.refine))
    for value in (L3_LEFT, L3_RIGHT):
        for labels, score in zip((drawn, refined), measured.dice[value], strict=True):
            both = ((labels == value) & (truth == value)).sum()
            size = (labels == value).sum() + (truth == value).sum()
            assert score == pytest.approx(2 * both / size)
    assert L3_VENTRAL not in measured.dice
    assert measured.truth_voxels == (truth != 0).sum()
    assert measured.right_after == ((truth != 0) & (refined == truth)).sum()


@pytest.fixture(scope="module")
def annotated_phantoms(tmp_path_factory, smoke_params):
    """Three phantoms with their annotator's mistakes, and the truth."""
    from spinalroots.phantom.dataset import write_dataset

    root = tmp_path_factory.mktemp("phantoms")
    few = smoke_params.phantom.model_copy(update={"cases": 3})
    write_dataset(root / "data/raw/phantom", root / "data/truth", few, smoke_params.seed)
    return root


def test_refinement_brings_every_class_nearer_to_the_hidden_truth(
    annotated_phantoms, smoke_params, tmp_path, monkeypatch
):
    monkeypatch.chdir(annotated_phantoms)
    stage.main(smoke_params.model_copy(update={"workers": 1}))
    table = pd.read_csv("reports/refinement.csv")
    columns = ["label", "dice_before", "dice_after", "voxels_before", "voxels_after"]
    assert table.columns.tolist() == columns
    measured = table.dropna()
    assert len(table) == 22
    assert len(measured) >= 14
    assert (measured["dice_after"] > measured["dice_before"]).all()
    assert measured["dice_after"].mean() > measured["dice_before"].mean() + 0.05
    figures = read_json("reports/refinement.json")
    assert figures["coverage_of_reachable"] == 1.0
    assert figures["share_right_after"] > figures["share_right_before"] + 0.05
    assert (annotated_phantoms / "reports/figures/refinement.png").stat().st_size > 10_000
    raw, refined = Dataset("data/raw/phantom"), Dataset("data/refined")
    for case in refined.cases():
        box = read_json(refined.sidecar(case))["box_ras_vox"]
        part = tuple(slice(*side) for side in box)
        scan, kept = read_image(raw.image(case)), read_image(refined.image(case))
        assert kept.grid.matches(scan.crop(part).grid)
        assert np.array_equal(kept.data, scan.data[part])
        truth = read_labels(Dataset("data/truth").labels(case, Scheme.LEVELS)).data
        found = put_back(read_labels(refined.labels(case, Scheme.LEVELS)).data, part, truth.shape)
        right = (found == truth)[(found != 0) & (truth != 0)]
        assert right.mean() > 0.9


def test_a_phantoms_unnamed_roots_are_the_true_ones_inside_its_sac(
    annotated_phantoms, smoke_params, tmp_path
):
    """Nine tenths of what is found is root, and seven tenths of the true voxels are found even in
    thick voxels where roots have sunk to the wall and no CSF lies behind them (fine: 0.83…1.0)."""
    raw, truth = (Dataset(annotated_phantoms / "data" / part) for part in ("raw/phantom", "truth"))
    cases = [SelectedCase(name, raw, "phantom") for name in raw.cases()]
    results = refine_dataset(cases, tmp_path / "refined", truth, smoke_params.refine)
    refined = Dataset(tmp_path / "refined")
    for result in results:
        box = read_json(refined.sidecar(result.name))["box_ras_vox"]
        anatomy = read_labels(truth.map(result.name, ANATOMY_MAP)).data
        anatomy = anatomy[tuple(slice(*side) for side in box)]
        levels, roots = (
            read_labels(refined.labels(result.name, scheme)).data
            for scheme in (Scheme.LEVELS, Scheme.ENTITY)
        )
        found, true = (roots != 0) & (levels == 0), (anatomy == ROOT) & (levels == 0)
        assert result.counts["unnamed"] == found.sum()
        assert (found & true).sum() > 0.7 * true.sum() > 100
        assert np.isin(anatomy[found], (ROOT, ROOT_OUTSIDE)).mean() > 0.88


def test_the_stage_says_whose_unnamed_roots_nobody_can_know(
    tmp_path, smoke_params, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    raw, drawn = Dataset(tmp_path / "data/raw/phantom"), sac_with_a_hole()
    for case, scheme, labels in (
        ("sub-001", Scheme.ENTITY, drawn.entity),
        ("sub-002", Scheme.TISSUES, drawn.tissues),
        ("sub-003", Scheme.TISSUES, (drawn.tissues == 2) * np.uint8(2)),
        ("sub-004", Scheme.INDIVIDUALS, drawn.individuals),
    ):
        write_volume(raw.image(case), drawn.volume.with_data(np.ones((9, 9, 30), np.float32)))
        write_volume(raw.labels(case, Scheme.INDIVIDUALS), drawn.volume)
        write_volume(raw.labels(case, scheme), drawn.volume.with_data(labels))
    stage.main(smoke_params.model_copy(update={"workers": 1}))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "background" in line]
    assert line.endswith(": sub-003, sub-004")


def test_the_truth_never_changes_what_is_refined(annotated_phantoms, smoke_params, tmp_path):
    raw = Dataset(annotated_phantoms / "data/raw/phantom")
    cases = [SelectedCase("sub-ph001", raw, "phantom")]
    seen = refine_dataset(
        cases, tmp_path / "with", Dataset(annotated_phantoms / "data/truth"), smoke_params.refine
    )
    blind = refine_dataset(cases, tmp_path / "without", Dataset(tmp_path), smoke_params.refine)
    assert seen[0].gain is not None
    assert blind[0].gain is None
    looks = Dataset(tmp_path / "with").participants()["look"]
    known = cases[0].dataset.participants()["look"]
    assert looks.to_dict() == known.loc[looks.index].to_dict()
    files = sorted(path.relative_to(tmp_path / "with") for path in (tmp_path / "with").rglob("*.*"))
    for path in files:
        assert (tmp_path / "with" / path).read_bytes() == (tmp_path / "without" / path).read_bytes()


def test_consensus_of_raters_is_what_gets_refined(tmp_path, smoke_params):
    from spinalroots.dataset.annotations import rater_path

    dataset = Dataset(tmp_path / "raw")
    annotation = column((L3_LEFT, 0, 30))
    image = np.random.default_rng(0).normal(50, 9, (9, 9, 30)).astype(np.float32)
    write_volume(dataset.image("sub-001"), annotation.volume.with_data(image))
    for rater, first in (("A", 0), ("B", 0), ("C", 12)):
        labels = annotation.individuals.copy()
        labels[:, :, :first] = 0
        for scheme, data in (
            (Scheme.INDIVIDUALS, labels),
            (Scheme.ENTITY, (labels != 0).astype(np.uint8)),
        ):
            path = rater_path(dataset, "sub-001", scheme, rater)
            write_volume(path, annotation.volume.with_data(data))
    read = read_annotation(dataset, "sub-001")
    assert np.array_equal(read.individuals, annotation.individuals)
    assert read.agreement["individuals"].raters == 3
    results = refine_dataset(
        [SelectedCase("sub-001", dataset, "ingested")],
        tmp_path / "refined",
        Dataset(tmp_path / "truth"),
        smoke_params.refine,
    )
    expected = np.mean([1, 2 * 18 / 48, 2 * 18 / 48])
    assert results[0].agreement["individuals"]["dice"] == pytest.approx(expected, abs=1e-4)
    table = gain_table(results, smoke_params.refine)
    row = table.set_index("label").loc["L3_D_L"]
    assert row["voxels_after"] == 90
    assert np.isnan(row["dice_before"])
    assert "dice_after" not in summary(results, table)


def test_a_data_set_without_any_label_is_an_error_and_leaves_the_old_result(tmp_path, smoke_params):
    dataset = Dataset(tmp_path / "raw")
    data = np.random.default_rng(0).normal(50, 9, (5, 5, 5)).astype(np.float32)
    write_volume(dataset.image("sub-001"), Volume(data, np.eye(4)))
    with folder_in_one_piece(tmp_path / "refined") as folder:
        write_json(folder / "old.json", {})
    with pytest.raises(InputError, match="at least one case"):
        refine_dataset(
            [SelectedCase("sub-001", dataset, "ingested")],
            tmp_path / "refined",
            Dataset(tmp_path / "truth"),
            smoke_params.refine,
        )
    assert [path.name for path in tmp_path.iterdir() if path.name != "raw"] == ["refined"]
    assert (tmp_path / "refined" / "old.json").is_file()
