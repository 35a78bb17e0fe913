"""Models held against real scans: what belongs together, what is read, what is counted."""

import json
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import REAL

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.realscans import figures, naming, protocols, reference, results, run, scores
from spinalroots.registry.anatomy import Scheme

SHAPE = (24, 26, 30)
AFFINE = np.array([[1.5, 0, 0, -10], [0, 2.0, 0, 5], [0, 0, 1.2, -40], [0, 0, 0, 1.0]])


def drawing() -> np.ndarray:
    """A sac with two roots below and a cord above, of a tissue drawing's values."""
    right, front = np.indices(SHAPE[:2])
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[np.hypot(right - 12, front - 12) < 6, 2:28] = 1
    drawn[10, 9, 4:16] = drawn[14, 9, 4:16] = 2
    drawn[11:14, 11:14, 18:28] = 3
    return drawn


@pytest.fixture
def folder(tmp_path) -> Path:
    """A scan with a tissue drawing and its JSON."""
    case = tmp_path / "real" / "one"
    grey = np.where(drawing() == 1, 900.0, 100.0).astype(np.float32)
    write_volume(case / "t2.nii.gz", Volume(grey, AFFINE))
    write_volume(case / "t2_tissues-manual.nii.gz", Volume(drawing(), AFFINE))
    told = {"roots_trusted_z": [5, 14], "sac_trusted_z": [[3, 6], [10, 20]], "conus_tip_z": 17}
    (case / "t2_tissues-manual.json").write_text(json.dumps(told))
    return tmp_path / "real"


def middle_line() -> Centreline:
    heights = AFFINE[2, 3] + 1.2 * np.arange(SHAPE[2])
    places = np.broadcast_to([12 * 1.5 - 10, 12 * 2.0 + 5], (len(heights), 2))
    return Centreline(np.column_stack([places, heights]), "test")


def masks(drawn: np.ndarray) -> dict[str, np.ndarray]:
    return {"roots": drawn == 2, "sac": drawn > 0, "cord": drawn == 3}


# --- which files belong together


def grouped(*names: str) -> dict[str, dict[str, str]]:
    found = naming.group([Path(name) for name in names])
    return {
        one.scan.name: {kind: path.name for kind, path in one.drawings.items()} for one in found
    }


def test_a_drawing_belongs_to_the_scan_that_it_is_named_after():
    assert grouped(
        "t2.nii.gz",
        "t2_lumbar.nii.gz",
        "t2_cord-manual.nii.gz",
        "t2_lumbar_tissues-manual.nii.gz",
        "t2_lumbar_centreline-manual.csv",
        "t2_rootlets-manual.nii.gz",
    ) == {
        "t2.nii.gz": {"cord": "t2_cord-manual.nii.gz"},
        "t2_lumbar.nii.gz": {
            "tissues": "t2_lumbar_tissues-manual.nii.gz",
            "line": "t2_lumbar_centreline-manual.csv",
        },
    }


@pytest.mark.parametrize(
    ("scan", "drawn", "kind"),
    [
        ("sub-01_T2w.nii.gz", "sub-01_T2w_label-SC_mask.nii.gz", "cord"),
        ("sub-01_T2w.nii.gz", "sub-01_label-roots_mask.nii.gz", "roots"),
        ("patient7.nii", "patient7-Tissues.nii.gz", "tissues"),
        ("image.nii.gz", "drawn_sac_gt.nii.gz", "sac"),
        ("t2_cord.nii.gz", "t2_cord_tissues-manual.nii.gz", "tissues"),
        ("discs.nii.gz", "discs_roots.nii.gz", "roots"),
        ("sub-01_acq-sc_T2w.nii.gz", "sub-01_acq-sc_T2w_centerline.nii.gz", "line"),
    ],
)
def test_names_are_read_generously(scan, drawn, kind):
    assert grouped(scan, drawn) == {scan: {kind: drawn}}


def test_what_a_person_drew_wins_over_a_program_and_a_table_over_a_mask():
    found = grouped("a.nii.gz", "a_seg.nii.gz", "a_seg-manual.nii.gz", "a_centerline.nii.gz")
    assert found["a.nii.gz"] == {"cord": "a_seg-manual.nii.gz", "line": "a_centerline.nii.gz"}
    found = grouped("a.nii.gz", "a_centerline.nii.gz", "a_centerline.csv")
    assert found["a.nii.gz"] == {"line": "a_centerline.csv"}


def test_a_drawing_whose_scan_cannot_be_told_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=r"c_cord.*expected the scan.*found these scans: a.*, b"):
        grouped("a.nii.gz", "b.nii.gz", "c_cord.nii.gz")
    (tmp_path / "scan.nii.gz").touch()
    with pytest.raises(InputError, match="no drawing among them"):
        naming.find(tmp_path)


# --- what is read


def test_a_drawing_is_read_with_the_slices_that_may_be_trusted(folder):
    (found,) = run.read_references(folder)
    assert found.name == "one/t2"
    for part, mask in masks(drawing()).items():
        assert np.array_equal(found.masks[part], mask)
    assert np.flatnonzero(found.trusted["roots"]).tolist() == list(range(5, 15))
    assert np.flatnonzero(found.trusted["sac"]).tolist() == [*range(3, 7), *range(10, 21)]
    assert np.flatnonzero(found.trusted["cord"]).tolist() == list(range(18, 28))
    assert found.conus_z == 17
    assert (found.use, found.line_source) == ("not known", "middle of the drawing")
    assert scores.line_errors_mm(found.line_mm, middle_line(), found.scan.grid).max() < 1e-3


def test_a_mask_of_its_own_wins_over_the_tissue_drawing_and_labels_may_be_others(folder):
    case = folder / "one"
    cord = (np.roll(drawing(), 1, axis=0) == 3).astype(np.uint8)
    write_volume(case / "t2_cord-manual.nii.gz", Volume(cord, AFFINE))
    other = np.array([0, 7, 9, 5])[drawing()].astype(np.uint8)
    other[0, 0] = 4
    write_volume(case / "t2_tissues-manual.nii.gz", Volume(other, AFFINE))
    with pytest.raises(InputError, match=r"expected the values 1 .CSF.*found the value 4.*labels"):
        run.read_references(folder)
    labels = {"7": "CSF in the sac", "9": "Roots", "5": "spinal cord", "4": "fat"}
    (case / "t2_tissues-manual.json").write_text(json.dumps({"labels": labels}))
    (found,) = run.read_references(folder)
    assert np.array_equal(found.masks["cord"], cord > 0)
    assert np.array_equal(found.masks["sac"], drawing() > 0)
    assert np.flatnonzero(found.trusted["roots"]).tolist() == list(range(4, 16))
    assert found.conus_z == 18


def test_a_corrected_tissue_map_of_predict_is_a_drawing_too(folder):
    case = folder / "one"
    for path in case.glob("t2_tissues*"):
        path.unlink()
    corrected = np.array([0, 2, 4, 1], np.uint8)[drawing()]
    corrected[0, 0] = 3
    write_volume(case / "t2_label-tissues_dseg.nii.gz", Volume(corrected, AFFINE))
    (found,) = run.read_references(folder)
    for part, mask in masks(drawing()).items():
        assert np.array_equal(found.masks[part], mask)


def test_trusted_slices_may_be_said_for_all_parts_at_once(folder):
    told = {"trusted_z": [3, 20], "cord_trusted_z": None}
    (folder / "one" / "t2_tissues-manual.json").write_text(json.dumps(told))
    (found,) = run.read_references(folder)
    ranges = {part: np.flatnonzero(one)[[0, -1]].tolist() for part, one in found.trusted.items()}
    assert ranges == {"roots": [3, 20], "sac": [3, 20], "cord": [18, 27]}
    told = {"trusted_z": {"sac": [3, 20]}}
    (folder / "one" / "t2_tissues-manual.json").write_text(json.dumps(told))
    (found,) = run.read_references(folder)
    ranges = {part: np.flatnonzero(one)[[0, -1]].tolist() for part, one in found.trusted.items()}
    assert ranges == {"roots": [4, 15], "sac": [3, 20], "cord": [18, 27]}


def test_labels_that_cannot_be_read_are_an_error(folder):
    (folder / "one" / "t2_tissues-manual.json").write_text(json.dumps({"labels": {"CSF": 1}}))
    with pytest.raises(InputError, match=r"labels: expected what each value means"):
        run.read_references(folder)


@pytest.mark.parametrize("slices", [[14, 5], [5, 30], [-1, 5], [5], "5-14", [[1, 2], [3]]])
def test_slices_that_the_scan_does_not_have_are_an_error_that_shows_how(folder, slices):
    (folder / "one" / "t2_tissues-manual.json").write_text(json.dumps({"roots_trusted_z": slices}))
    with pytest.raises(InputError, match=r"roots_trusted_z: expected .*\[4, 15\].*from 0 to 29"):
        run.read_references(folder)


def test_damaged_or_foreign_files_are_errors_that_name_them(folder):
    case = folder / "one"
    (case / "t2_centreline-manual.csv").write_text("x,y,z\n1,2,3\n")
    with pytest.raises(InputError, match=r"centreline-manual.csv: expected columns x_mm"):
        run.read_references(folder)
    (case / "t2_centreline-manual.csv").unlink()
    write_volume(case / "t2_cord-manual.nii.gz", Volume(drawing()[1:], AFFINE))
    with pytest.raises(InputError, match=r"cord-manual.*expected the grid of t2.nii.gz"):
        run.read_references(folder)
    (case / "t2_cord-manual.nii.gz").unlink()
    (case / "t2_tissues-manual.json").write_text("{")
    with pytest.raises(InputError, match=r"tissues-manual.json: expected a JSON object"):
        run.read_references(folder)
    (case / "t2_tissues-manual.json").unlink()
    write_volume(case / "t2_tissues-manual.nii.gz", Volume(0 * drawing(), AFFINE))
    with pytest.raises(InputError, match="something drawn"):
        run.read_references(folder)


def test_a_drawn_line_is_the_reference_but_a_programs_line_only_without_a_drawing(folder):
    case, points = folder / "one", middle_line().points_mm + np.array([3.0, 4.0, 0])
    rows = "\n".join(",".join(map(str, point)) for point in points)
    for name, apart_mm, source in (
        ("t2_centreline-optic.csv", 0, "middle of the drawing"),
        ("t2_centreline-manual.csv", 5, "t2_centreline-manual.csv"),
    ):
        (case / name).write_text(f"x_mm,y_mm,z_mm\n{rows}\n")
        (found,) = run.read_references(folder)
        assert found.line_source == source
        errors_mm = scores.line_errors_mm(found.line_mm, middle_line(), found.scan.grid)
        assert np.allclose(errors_mm, apart_mm, atol=1e-3)
    (case / "t2_tissues-manual.nii.gz").unlink()
    (case / "t2_centreline-manual.csv").unlink()
    (found,) = run.read_references(folder)
    assert found.line_source == "t2_centreline-optic.csv"
    assert found.masks == {}


# --- what is counted


def naive(drawn, found, trusted):
    """Voxel by voxel."""
    counts = {"both": 0, "drawn": 0, "found": 0, "near": 0}
    by_slice = {}
    for z in range(drawn.shape[2]):
        if not trusted[z]:
            continue
        here = dict.fromkeys(counts, 0)
        for x, y in product(*map(range, drawn.shape[:2])):
            around = tuple(slice(max(i - 1, 0), i + 2) for i in (x, y, z))
            here["both"] += drawn[x, y, z] and found[x, y, z]
            here["drawn"] += drawn[x, y, z]
            here["found"] += found[x, y, z]
            here["near"] += found[x, y, z] and drawn[around].any()
        by_slice[z] = here
        counts = {key: counts[key] + here[key] for key in counts}
    return counts, by_slice


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_counting_voxel_by_voxel(seed):
    random = np.random.default_rng(seed)
    drawn, found = random.random((2, 7, 6, 12)) < 0.12
    trusted = random.random(12) < 0.75
    found[..., np.flatnonzero(trusted)[0]] = False
    whole, by_slice = naive(drawn, found, trusted)
    got = scores.agreement(drawn, found, trusted)
    assert got.dice == pytest.approx(2 * whole["both"] / (whole["drawn"] + whole["found"]))
    assert got.recall == pytest.approx(whole["both"] / whole["drawn"])
    assert got.precision == pytest.approx(whole["both"] / whole["found"])
    assert got.precision_1vox == pytest.approx(whole["near"] / whole["found"])
    drawn_on = [one for one in by_slice.values() if one["drawn"]]
    assert got.slices == len(drawn_on)
    assert got.slices_missed == sum(not one["both"] for one in drawn_on)
    for z in range(12):
        if z in by_slice and by_slice[z]["drawn"] + by_slice[z]["found"]:
            one = by_slice[z]
            expected = 2 * one["both"] / (one["drawn"] + one["found"])
            assert got.dice_by_slice[z] == pytest.approx(expected)
        else:
            assert np.isnan(got.dice_by_slice[z])
    order = sorted(by_slice)
    lower = [by_slice[z] for z in order[: -(-len(order) // 3)]]
    sizes = sum(one["drawn"] + one["found"] for one in lower)
    assert got.dice_thirds[0] == pytest.approx(2 * sum(one["both"] for one in lower) / sizes)


def test_what_is_found_in_slices_that_are_not_trusted_does_not_count():
    drawn, trusted = drawing() == 2, np.zeros(SHAPE[2], bool)
    trusted[5:10] = True
    found = drawn.copy()
    found[..., 10:] = True
    got = scores.agreement(drawn, found, trusted)
    assert (got.dice, got.recall, got.precision, got.slices_missed) == (1, 1, 1, 0)


def test_an_empty_prediction_misses_every_slice_and_has_no_precision():
    drawn, trusted = drawing() == 2, np.ones(SHAPE[2], bool)
    got = scores.agreement(drawn, np.zeros(SHAPE, bool), trusted)
    assert (got.dice, got.recall, got.slices, got.slices_missed) == (0, 0, 12, 12)
    assert np.isnan(got.precision)


def test_a_shift_by_one_voxel_is_within_one_voxel():
    drawn, trusted = drawing() == 2, np.ones(SHAPE[2], bool)
    got = scores.agreement(drawn, np.roll(drawn, (1, 1, 1), (0, 1, 2)), trusted)
    assert (got.precision, got.precision_1vox) == (0, 1)
    assert scores.agreement(drawn, np.roll(drawn, 2, 0), trusted).precision_1vox == 0


def test_the_lines_distance_is_measured_in_the_axial_plane_in_mm():
    grid = Volume(np.zeros(SHAPE), AFFINE).grid
    line_mm = middle_line().points_mm + np.array([3.0, -4.0, 0.3])
    errors_mm = scores.line_errors_mm(line_mm, middle_line(), grid)
    assert np.allclose(errors_mm, 5)
    assert len(errors_mm) == SHAPE[2]
    above = line_mm + np.array([0, 0, 1000.0])
    assert scores.line_errors_mm(above, middle_line(), grid).size == 0


# --- models, table, files


def test_a_tissue_map_shows_all_parts_and_a_one_stage_model_roots_alone():
    maps = {
        Scheme.ENTITY: SimpleNamespace(data=np.array([0, 0, 1, 0, 0])),
        Scheme.TISSUES: SimpleNamespace(data=np.array([0, 2, 4, 1, 3], np.uint8)),
    }
    found = results.masks_of(SimpleNamespace(maps=maps))
    assert {part: mask.tolist() for part, mask in found.items()} == {
        "roots": [False, False, True, False, False],
        "sac": [False, True, True, True, False],
        "cord": [False, False, False, True, False],
    }
    del maps[Scheme.TISSUES]
    found = results.masks_of(SimpleNamespace(maps=maps))
    assert {part: mask.tolist() for part, mask in found.items()} == {
        "roots": [False, False, True, False, False]
    }


def test_every_model_is_run_on_every_scan(folder, monkeypatch):
    def segment(scan, model):
        """As good as the drawing, or a voxel beside it."""
        tissues = np.roll(np.array([0, 2, 4, 1])[drawing()], model, axis=1)
        maps = {Scheme.TISSUES: SimpleNamespace(data=tissues)}
        return SimpleNamespace(maps=maps, centreline=middle_line())

    monkeypatch.setattr(run, "segment", segment)
    scored = run.score_models(run.read_references(folder), [("right", 0), ("beside", 1)])
    assert [(one.model, one.scores["roots"].dice) for one in scored] == [
        ("right", 1),
        ("beside", 0),
    ]
    assert [one.scores["roots"].precision_1vox for one in scored] == [1, 1]
    assert [round(one.scores["cord"].recall, 3) for one in scored] == [1, 0.667]


def test_models_stand_side_by_side_in_table_and_files(folder, tmp_path):
    (one,) = run.read_references(folder)
    half = drawing()
    half[10, 9] = 1
    scored = [
        results.score("perfect", one, masks(drawing()), middle_line()),
        results.score("half", one, {"roots": half == 2}, middle_line()),
    ]
    out = tmp_path / "out"
    text = run.write(out, scored, tmp_path / "no phantoms")
    rows = results.table(scored).set_index("model")
    assert rows.loc["perfect", ["roots_dice", "sac_dice", "cord_dice"]].tolist() == [1, 1, 1]
    assert rows.loc["half", "roots_dice"] == pytest.approx(2 / 3)
    assert np.isnan(rows.loc["half", "sac_dice"])
    assert "| half | one/t2 | 0.67 | 0.50 | 1.00 | 1.00 | 0 of 10 | 0.67 |" in text
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {
        "one_t2_half.png",
        "one_t2_perfect.png",
        "one_t2_by-height.png",
        "table.csv",
        "table.json",
        "table.md",
    }
    told = json.loads((out / "table.json").read_text())
    assert told[1]["sac_dice"] is None
    assert told[0]["parts"]["roots"]["trusted_z"] == list(range(5, 15))


def whole(folder) -> reference.Reference:
    (one,) = run.read_references(folder)
    return one


def test_every_protocol_shows_the_same_place_and_leaves_the_scan_alone(folder):
    scan = whole(folder).scan
    before = scan.data.copy()
    middle = scan.affine @ [*(np.array(SHAPE) - 1) / 2, 1]
    for name, change in protocols.PROTOCOLS.items():
        seen = change(scan, np.random.default_rng(0))
        there = seen.affine @ [*(np.array(seen.data.shape) - 1) / 2, 1]
        extent = np.array(seen.data.shape) * seen.spacing_mm
        assert np.abs(there - middle).max() <= 2.0, name
        assert np.abs(extent - np.array(SHAPE) * scan.spacing_mm).max() <= 4.0, name
        assert np.isfinite(seen.data).all(), name
        assert (seen.data >= 0).all(), name
    np.testing.assert_array_equal(scan.data, before)


def test_thick_slices_are_means_and_noise_is_as_strong_as_it_says():
    grey = np.zeros((40, 40, 40), np.float32)
    grey[:, 20:] = 1000.0
    scan = Volume(grey, np.eye(4))
    rng = np.random.default_rng(0)
    noise = protocols.noisy(0.1)(scan, rng).data[:, 25:] - 1000
    assert noise.std() == pytest.approx(100, rel=0.05)
    stripes = np.where(np.arange(40) % 2, 1000.0, 0.0)[:, None, None]
    striped = Volume(np.broadcast_to(stripes, (40, 40, 40)), np.eye(4))
    thick = protocols.in_voxels(4.0, 1.0, 1.0)(striped, rng)
    assert thick.spacing_mm == pytest.approx([4, 1, 1])
    np.testing.assert_allclose(thick.data[2:-2], 500, atol=60)
    brighter = protocols.shaded(2, 4.0)(scan, rng).data[0, 30]
    assert brighter[-1] / brighter[0] == pytest.approx(4.0)


def test_found_masks_are_scored_where_the_drawing_lies(folder, monkeypatch):
    """A model that finds, on whatever grid it is given, what was drawn: as good as the bound."""
    one = whole(folder)

    def found(scan, model):
        maps = {
            part: protocols._carried(one.scan.with_data(m), scan) for part, m in one.masks.items()
        }
        return SimpleNamespace(masks=maps, centreline=middle_line())

    monkeypatch.setattr(protocols, "segment", found)
    monkeypatch.setattr(results, "masks_of", lambda segmentation: segmentation.masks)
    table = run.score_protocols([one], [("perfect", None)])
    assert list(table["changed"]) == list(protocols.PROTOCOLS)
    np.testing.assert_allclose(table["roots_dice"], table["roots_bound"])
    as_it_is = table.set_index("changed").loc["it is"]
    assert as_it_is[["roots_dice", "sac_dice", "cord_dice"]].to_list() == [1, 1, 1]
    lines = protocols.markdown(table).splitlines()
    assert lines[2] == "| one/t2 | it is | perfect | 1.00 | 1.00 | 1.00 | 0 | 1.00 | 1.00 |"


def test_only_a_scan_that_chose_designs_is_called_a_development_scan(folder):
    (one,) = run.read_references(folder)
    row = results.table([results.score("m", one, masks(drawing()), middle_line())])
    assert "Development" not in results.markdown(row)
    assert "Development: `one/t2`" in results.markdown(row.assign(use=reference.CHOSE_DESIGNS))


def test_scans_in_a_row_are_shown_at_the_same_heights_above_the_conus():
    scan = Volume(np.random.default_rng(0).random(SHAPE).astype(np.float32), AFFINE)
    low, high = (figures.shown(str(z), scan, middle_line(), z) for z in (8, 20))
    assert (low.low_mm, low.high_mm) == (pytest.approx(-9.6), pytest.approx(25.2))
    assert [one.slice_at(-6.0) for one in (low, high)] == [3, 15]
    assert figures.beside_phantoms([low, high])[:4] == b"\x89PNG"


def test_no_real_scans_is_a_word_and_not_a_fault(tmp_path, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert cli.main(["real"]) == 0
    assert (
        capsys.readouterr().out
        == "No real scans in ../shared/real: nothing to hold a model against.\n"
    )
    assert cli.main(["real", "elsewhere"]) == 2
    assert "elsewhere: expected a folder" in capsys.readouterr().err


def test_the_real_drawings_are_read_whole(real_scans):
    found = {one.name: one for one in run.read_references(REAL)}
    lumbar, cervical = found["lumbar/t2_lumbar"], found["cervical/t2"]
    told = json.loads((REAL / "lumbar" / "t2_lumbar_tissues-manual.json").read_text())
    roots = lumbar.masks["roots"][..., lumbar.trusted["roots"]]
    assert np.count_nonzero(roots) == told["voxels_roots_trusted_z"]["2"]
    assert {part: int(mask.sum()) for part, mask in lumbar.trusted.items()} == {
        "roots": 77,
        "sac": 147,
        "cord": 40,
    }
    assert lumbar.line_source == "t2_lumbar_centreline-manual.csv"
    assert cervical.masks.keys() == {"cord"}
    assert {one.use for one in found.values()} == {reference.CHOSE_DESIGNS}
