"""The check of the raw data: planted faults are found, a clean case is left in peace."""

from __future__ import annotations

import base64
import io
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.image import imread

from spinalroots import cli
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase
from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.imaging.volume import Grid, Volume, write_volume
from spinalroots.quality.check import check_case, mismatches, wrong_sides
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels
from spinalroots.stages import check as stage

SHAPE = (20, 16, 24)
AFFINE = np.diag([0.8, 0.8, 1.5, 1.0])
LEFT, RIGHT = Root.parse("L3_D_L").value, Root.parse("L3_D_R").value


def clean_maps():
    """A sac with a left and a right root in it."""
    individuals = np.zeros(SHAPE, np.uint8)
    individuals[6:8, 5, 2:20], individuals[12:14, 5, 2:20] = LEFT, RIGHT
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[4:16, 3:12] = 2
    return {
        Scheme.ENTITY: (individuals != 0).astype(np.uint8),
        Scheme.LEVELS: individuals_to_levels(individuals),
        Scheme.INDIVIDUALS: individuals,
        Scheme.TISSUES: tissues,
    }


def write_case(root, maps, name="sub-001", affine=AFFINE, native=None):
    dataset = Dataset(root)
    image = np.random.default_rng(0).normal(100, 9, SHAPE).astype(np.float32)
    write_volume(dataset.image(name), Volume(image, affine), native=native)
    for scheme, labels in maps.items():
        write_volume(dataset.labels(name, scheme), Volume(labels, affine), native=native)
    return SelectedCase(name, dataset, "ingested")


def kinds(result):
    return [finding.kind for finding in result.findings]


def test_a_clean_case_has_no_findings(tmp_path, smoke_params):
    result = check_case(write_case(tmp_path, clean_maps()), smoke_params.check)
    assert kinds(result) == []
    assert result.orientation == "RAS"
    assert result.voxel_mm == (0.8, 0.8, 1.5)
    individuals = next(entry for entry in result.maps if entry.scheme == "individuals")
    assert individuals.voxels == {"L3_D_L": 36, "L3_D_R": 36}
    assert individuals.islands == {"L3_D_L": 1, "L3_D_R": 1}


def test_the_orientation_is_the_files_own(tmp_path, smoke_params):
    axes = [[0, 0, 0.8, 0], [-0.8, 0, 0, 12], [0, 1.5, 0, 0], [0, 0, 0, 1]]
    native = Grid((16, 24, 20), np.array(axes))
    result = check_case(write_case(tmp_path, clean_maps(), native=native), smoke_params.check)
    assert (result.orientation, result.shape, kinds(result)) == ("PSR", (16, 24, 20), [])


def test_a_left_root_on_the_right_is_found(tmp_path, smoke_params):
    maps = clean_maps()
    swapped = maps[Scheme.INDIVIDUALS]
    swapped[:] = np.select([swapped == LEFT, swapped == RIGHT], [RIGHT, LEFT], 0)
    result = check_case(write_case(tmp_path, maps), smoke_params.check)
    assert kinds(result) == ["side", "side"]
    assert result.wrong_side == {"L3_D_L": 1.0, "L3_D_R": 1.0}


def test_sides_are_judged_by_the_sac_of_each_slice_even_if_it_leans():
    maps = clean_maps()
    for height in range(SHAPE[2]):
        shift = round(height * 6 / SHAPE[2]) - 3
        for labels in maps.values():
            labels[:, :, height] = np.roll(labels[:, :, height], shift, axis=0)
    assert wrong_sides(maps, 0.2) == {}


def test_one_sided_annotation_is_not_called_wrong():
    maps = clean_maps()
    maps[Scheme.INDIVIDUALS][maps[Scheme.INDIVIDUALS] == RIGHT] = 0
    assert wrong_sides(maps, 0.2) == {}


def test_disagreeing_maps_are_measured():
    maps = clean_maps()
    maps[Scheme.INDIVIDUALS][6:8, 5, 2:11] = 0
    maps[Scheme.INDIVIDUALS][1, 1, :6] = LEFT
    maps[Scheme.LEVELS][12:14, 5, 2:20] = 24
    shares = mismatches(maps)
    assert shares["individual voxels lie outside the entity mask"] == pytest.approx(6 / 60)
    assert shares["entity voxels have no individual label"] == pytest.approx(18 / 72)
    assert shares["entity voxels have no level"] == 0
    different = shares["voxels have another level in the individual map than in the level map"]
    assert different == pytest.approx(36 / 54)


def test_what_is_not_labelled_yet_is_called_so_only_if_it_is_much(tmp_path, smoke_params):
    maps = clean_maps()
    maps[Scheme.INDIVIDUALS][6:8, 5, 2:9] = 0
    some = check_case(write_case(tmp_path / "some", maps), smoke_params.check)
    maps[Scheme.INDIVIDUALS][6:8, 5, 9:16] = 0
    much = check_case(write_case(tmp_path / "much", maps), smoke_params.check)
    assert (kinds(some), kinds(much)) == ([], ["unlabelled"])


def test_the_picture_shows_the_patients_right_and_front_on_the_left(tmp_path, smoke_params):
    maps = clean_maps()
    maps[Scheme.INDIVIDUALS][:] = 0
    maps[Scheme.INDIVIDUALS][16:18, 12, 20:22] = RIGHT
    uri = check_case(write_case(tmp_path, maps), smoke_params.check).picture
    shown = imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])))[..., :3]
    rows, columns = np.nonzero(np.ptp(shown, axis=2) > 0.2)
    front = columns < 20
    assert shown.shape[:2] == (45, 20 + 4 + 16)
    assert rows.max() < 9, "high in the body is high in the picture"
    assert columns[front].max() < 4
    assert columns[~front].max() < 24 + 4


def test_islands_tiny_labels_and_empty_maps_are_listed(tmp_path, smoke_params):
    maps = clean_maps()
    maps[Scheme.INDIVIDUALS][6:8, 5, 8:10] = 0
    maps[Scheme.INDIVIDUALS][9, 9, 9] = Root.parse("S1_D_L").value
    maps[Scheme.TISSUES][:] = 0
    result = check_case(write_case(tmp_path, maps), smoke_params.check)
    individuals = next(entry for entry in result.maps if entry.scheme == "individuals")
    assert individuals.islands["L3_D_L"] == 2
    assert "tiny" in kinds(result)
    assert "empty" in kinds(result)


def test_a_scan_without_masks_and_odd_voxels_are_called_out(tmp_path, smoke_params):
    stretched = np.diag([0.5, 0.5, 9.0, 1.0])
    result = check_case(write_case(tmp_path, {}, affine=stretched), smoke_params.check)
    assert sorted(kinds(result)) == ["geometry", "no masks"]


def test_what_nothing_can_work_with_is_an_error(tmp_path, smoke_params):
    case = write_case(tmp_path, clean_maps())
    path = case.dataset.labels(case.name, Scheme.LEVELS)
    write_volume(path, Volume(np.full(SHAPE, 31, np.uint8), AFFINE))
    with pytest.raises(InputError, match="unknown label value 31"):
        check_case(case, smoke_params.check)
    moved = AFFINE.copy()
    moved[0, 3] = 3
    write_volume(path, Volume(np.zeros(SHAPE, np.uint8), moved))
    with pytest.raises(InputError, match="expected the grid of"):
        check_case(case, smoke_params.check)


def test_the_stage_writes_a_record_and_a_page_and_strict_fails(tmp_path, monkeypatch, smoke_params):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data/raw/ingested"
    write_case(root, clean_maps(), "sub-001")
    faulty = clean_maps()
    faulty[Scheme.INDIVIDUALS][:] = 0
    write_case(root, faulty, "sub-002")
    table = pd.DataFrame({"source": ["ingested"] * 2}, index=["sub-001", "sub-002"])
    Dataset(root).write_description("test", table)
    data = smoke_params.data.model_copy(update={"source": "ingested"})
    params = smoke_params.model_copy(update={"data": data, "workers": 1})
    stage.main(params)
    record = read_json("reports/check.json")
    assert record["cases"] == 2
    assert record["findings_by_kind"] == {"empty": 1, "unlabelled": 1}
    page = (tmp_path / "reports/check.html").read_text(encoding="utf-8")
    assert page.index('id="sub-002"') < page.index('id="sub-001"'), "the worst case comes first"
    assert "1 to look at first" in page
    assert 'title="L3_D_L: 36 voxels, 1 piece"' in page
    assert 'title="L3, by level only"' in page
    assert "100.0% of entity voxels have no individual label" in page
    with pytest.raises(InputError, match="no individual label"):
        stage.main(params, strict=True)
    (tmp_path / "reports/check.json").unlink()
    own = (ROOT / "params.yaml").read_text(encoding="utf-8")
    own = own.replace("source: phantom", "source: ingested").replace("workers: 2", "workers: 1")
    (tmp_path / "params.yaml").write_text(own, encoding="utf-8")
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    assert cli.main(["stage", "check", "--scale", "smoke"]) == 0
    assert cli.main(["stage", "check", "--scale", "smoke", "--strict"]) == 2
    assert cli.main(["stage", "split", "--scale", "smoke", "--strict"]) == 2
    (tmp_path / "reports/check.json").unlink()
    strict = params.check.model_copy(update={"strict": True})
    with pytest.raises(InputError, match="sub-002"):
        stage.main(params.model_copy(update={"check": strict}))
    assert (tmp_path / "reports/check.json").is_file()
