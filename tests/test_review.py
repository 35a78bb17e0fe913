"""What there is to review, corrections, drafts, judgements: against naive loops and the files."""

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import review_case as rc
from lab_scans import write_dicom
from processes import at_once, killed_after

from spinalroots import cli
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.expert import score_file
from spinalroots.files import files_together, write_json
from spinalroots.imaging.volume import read_labels, write_volume
from spinalroots.ingest import ingest, plan
from spinalroots.predict import sources
from spinalroots.registry.anatomy import LEVELS, Root, Scheme, individuals_to_levels
from spinalroots.registry.models import DEFAULT_MODEL
from spinalroots.review import cases, drafts, edits
from spinalroots.review.desk import Conflict, Desk
from spinalroots.review.maps import Shelf

FORM = {
    "verdict": "pass",
    "scores": {"all": 0.8, "lumbar": 0.9, "sacral": None},
    "minutes_with": 30.5,
    "minutes_without": 240,
    "comment": "S2 and S3\nswapped",
    "to_mend": ["L4_D_L", "S2_D_R"],
    "seconds": 61,
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory) -> Path:
    """One of each kind, to be copied."""
    folder = tmp_path_factory.mktemp("stock")
    rc.predicted(folder / "patient")
    rc.pipeline(folder / "project")
    return folder


@pytest.fixture
def patient(tmp_path, stock) -> Desk:
    shutil.copytree(stock / "patient", tmp_path, dirs_exist_ok=True)
    return patient_desk(tmp_path)


@pytest.fixture
def project(tmp_path, stock) -> Desk:
    shutil.copytree(stock / "project", tmp_path, dirs_exist_ok=True)
    return project_desk(tmp_path)


def patient_desk(folder: Path) -> Desk:
    return Desk(cases.find([folder / "out"], folder / "data"), folder / "data")


def project_desk(folder: Path) -> Desk:
    data = folder / "data"
    return Desk(cases.find([data / "postprocessed"], data), data)


def version(desk: Desk, number: int = 0, reviewer: str = "AB") -> str:
    return desk.case(number, reviewer)["version"]


def index(desk: Desk, place, number: int = 0) -> int:
    """Number of a voxel of the whole map in what the page shows of it."""
    box = Shelf().maps(desk.cases[number]).box
    x, y, z = (p - side.start for p, side in zip(place, box, strict=True))
    width, depth = (side.stop - side.start for side in box[:2])
    return int(x + width * (y + depth * z))


def edit(desk: Desk, revision: int, reviewer: str = "AB", **change) -> dict:
    return desk.edit(0, reviewer, version(desk), revision, change)


# ---------------------------------------------------------------------------------------- cases


def test_a_patients_prediction_is_found_with_its_scan_and_warnings(tmp_path, patient):
    (case,) = patient.cases
    assert (case.name, case.stem, case.model) == ("sub-patient", "patient", DEFAULT_MODEL)
    assert case.scan.path == tmp_path / "patient.nii.gz"
    assert not case.known
    assert case.scores == tmp_path / "out" / "expert_scores.csv"
    remarks = patient.case(0, "AB")["remarks"]
    values = [Root.parse(name).value for name in ("S3_D_L", "S2_D_L", "S2_D_R")]
    assert [one["values"] for one in remarks] == [values[:1], values[1:]]


def test_another_scan_of_the_same_name_is_not_taken_for_the_predictions_own(tmp_path):
    rc.predicted(tmp_path)
    other = rc.scan(seed=5)
    write_volume(tmp_path / "patient.nii.gz", other, native=other.native)
    with pytest.raises(InputError, match="--scans"):
        cases.find([tmp_path / "out"], tmp_path / "data")


def test_a_scan_elsewhere_is_given_by_its_folder(tmp_path):
    rc.predicted(tmp_path)
    (tmp_path / "far").mkdir()
    (tmp_path / "patient.nii.gz").rename(tmp_path / "far" / "patient.nii.gz")
    with pytest.raises(InputError, match="--scans"):
        cases.find([tmp_path / "out"], tmp_path / "data")
    (found,) = cases.find([tmp_path / "out"], tmp_path / "data", [tmp_path / "far"])
    assert found.scan.path == tmp_path / "far" / "patient.nii.gz"


def test_a_prediction_of_a_dicom_series_finds_it_again(tmp_path):
    volume = rc.scan()
    series = write_dicom(tmp_path / "patient", volume)
    (source,) = sources.find([series]).scans
    with files_together(tmp_path / "out", of=f"predict {source.name} {source.sha256()}") as new:
        rc.write_maps(new / source.stem, volume, rc.individuals())
        write_json(new / f"{source.stem}_prediction.json", {"scan": source.name})
    desk = patient_desk(tmp_path)
    assert desk.cases[0].scan.path == series
    shown = nib.Nifti1Image.from_bytes(gzip.decompress(desk.scan(0)))
    assert shown.shape == rc.SHAPE
    (series / "more.dcm").write_bytes((next(series.glob("*.dcm"))).read_bytes())
    with pytest.raises(InputError):
        cases.find([tmp_path / "out"], tmp_path / "data")


def test_a_scan_on_another_grid_is_refused(tmp_path):
    mask = rc.predicted(tmp_path)
    for path in mask.parent.glob("*.nii.gz"):  # the map is cut, its list lost
        labels = read_labels(path)
        write_volume(path, labels.crop((slice(0, 30), slice(0, 44), slice(0, 48))))
    (mask.parent / ".spinalroots").unlink()
    desk = Desk(cases.find([mask], tmp_path / "data"), tmp_path / "data")
    with pytest.raises(InputError, match="the grid of"):
        desk.scan(0)


def test_the_pipelines_predictions_are_cases_of_the_data(tmp_path, project):
    assert [(one.name, one.model, one.known) for one in project.cases] == [
        ("sub-001", DEFAULT_MODEL, True),
        ("sub-002", DEFAULT_MODEL, True),
    ]
    one = tmp_path / "data/postprocessed" / DEFAULT_MODEL
    assert cases.find([one], tmp_path / "data") == project.cases
    assert cases.find([one, one.parent], tmp_path / "data") == project.cases


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_predictions_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="spinalroots predict"):
        cases.find([tmp_path / name], tmp_path)


# ---------------------------------------------------------------------------------------- edits


def test_painting_renaming_and_shifting_follow_a_naive_loop():
    labels = rc.individuals()
    voxels = [5, 777, 20_000, labels.size - 1]
    expected = {
        (v % 40, v // 40 % 44, v // (40 * 44)) for v in voxels
    }  # the first axis runs fastest
    painted = edits.applied(
        labels, Scheme.INDIVIDUALS, [edits.paint(labels, Scheme.INDIVIDUALS, voxels, rc.L5)]
    )
    changed = set(map(tuple, np.argwhere(painted != labels)))
    assert changed == {place for place in expected if labels[place] != rc.L5}
    assert {int(painted[place]) for place in expected} == {rc.L5}

    lower = np.argwhere(labels == rc.L4)
    start = tuple(lower[lower[:, 2].argmin()])
    waiting, thread = [start], {start}
    while waiting:
        here = waiting.pop()
        for step in np.ndindex(3, 3, 3):
            near = tuple(int(h + s - 1) for h, s in zip(here, step, strict=True))
            if near not in thread and labels[near] == rc.L4:
                thread.add(near)
                waiting.append(near)
    assert len(thread) < len(lower)  # the other piece is another thread
    at = int(start[0] + 40 * (start[1] + 44 * start[2]))
    step = edits.rename(labels, Scheme.INDIVIDUALS, at, rc.L5)
    renamed = edits.applied(labels, Scheme.INDIVIDUALS, [step])
    assert set(map(tuple, np.argwhere(renamed != labels))) == thread
    step = edits.rename(labels, Scheme.INDIVIDUALS, at, rc.L5, whole=True)
    whole = edits.applied(labels, Scheme.INDIVIDUALS, [step])
    assert not (whole == rc.L4).any()

    moved = edits.applied(labels, Scheme.INDIVIDUALS, [edits.shift(labels, Scheme.INDIVIDUALS, 1)])
    for place in np.argwhere(labels > 0)[::97]:
        before, after = (Root.from_value(int(one[tuple(place)])) for one in (labels, moved))
        assert (LEVELS.index(after.level), after.side) == (before.level_index + 1, before.side)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda at: edits.paint(at, Scheme.INDIVIDUALS, [0], 121), "a value of the scheme"),
        (lambda at: edits.paint(at, Scheme.INDIVIDUALS, [-1], 1), "numbers from 0"),
        (lambda at: edits.paint(at, Scheme.INDIVIDUALS, [at.size], 1), "numbers from 0"),
        (lambda at: edits.paint(at, Scheme.INDIVIDUALS, [], 1), "none"),
        (lambda at: edits.rename(at, Scheme.INDIVIDUALS, 0, 1), "background"),
        (lambda at: edits.rename(at, Scheme.INDIVIDUALS, -4, 1), "background"),
        (lambda at: edits.shift(at, Scheme.INDIVIDUALS, 3), "1 or 2 levels"),
        (lambda at: edits.shift(at + np.uint8(120), Scheme.INDIVIDUALS, 1), "S5"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(make, told):
    labels = rc.individuals() if told != "S5" else np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(InputError, match=told):
        make(labels)


def test_undo_takes_one_correction_back_at_a_time(patient):
    before = rc.individuals()
    voxels = [index(patient, (20, 20, 20)), index(patient, (21, 20, 20))]
    first = edit(patient, 0, kind="paint", voxels=voxels, value=rc.L5)
    assert (first["revision"], sorted(first["voxels"])) == (1, sorted(voxels))
    shifted = edit(patient, 1, kind="shift", by=-1)
    assert shifted["revision"] == 2
    assert len(shifted["voxels"]) == np.count_nonzero(before) + 2
    back = edit(patient, 2, kind="undo")
    assert sorted(back["voxels"]) == sorted(shifted["voxels"])
    again = edit(patient, 1, kind="undo")
    assert (sorted(again["voxels"]), again["values"]) == (sorted(voxels), [0, 0])
    with pytest.raises(InputError, match="Nothing to take back"):
        edit(patient, 0, kind="undo")


def test_a_correction_that_changes_nothing_is_no_step(patient):
    place = tuple(np.argwhere(rc.individuals() == rc.L4)[0])
    voxels = [index(patient, place)]
    assert edit(patient, 0, kind="paint", voxels=voxels, value=rc.L4)["revision"] == 0


def test_a_page_that_does_not_know_of_a_correction_is_told(patient):
    edit(patient, 0, kind="shift", by=1)
    with pytest.raises(Conflict, match="knows of all 1"):
        edit(patient, 0, kind="shift", by=1)
    assert edit(patient, 0, reviewer="CD", kind="shift", by=1)["revision"] == 1


def test_a_voxel_outside_of_what_is_shown_cannot_be_painted(patient):
    with pytest.raises(InputError, match="numbers from 0"):
        edit(patient, 0, kind="paint", voxels=[10**9], value=1)


# ------------------------------------------------------------------------------- corrected masks


def test_corrections_come_out_voxel_for_voxel_beside_the_prediction(tmp_path, patient):
    mask = patient.cases[0].mask
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    places = [(20, 20, 20), (21, 21, 21), (11, 12, 13)]
    voxels = [index(patient, place) for place in places]
    gone = tuple(map(int, np.argwhere(rc.individuals() == rc.L4)[3]))
    edit(patient, 0, kind="paint", voxels=voxels, value=rc.L5)
    edit(patient, 1, kind="paint", voxels=[index(patient, gone)], value=0)
    found = patient.save(0, "AB", version(patient))
    folder = tmp_path / "out" / "patient_corrected-AB"
    assert Path(found["folder"]) == folder
    after = {
        path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()
    }
    assert after == before

    expected = rc.individuals()
    for place in places:
        expected[place] = rc.L5
    expected[gone] = 0
    assert np.array_equal(rc.corrected_map(folder, "patient"), expected)
    levels = rc.corrected_map(folder, "patient", "levels")
    assert np.array_equal(levels, individuals_to_levels(expected))
    roots = rc.corrected_map(folder, "patient", "roots")
    assert roots[gone] == 0
    assert roots[30, 30, 5] == 1  # a root without a name
    assert roots[expected > 0].all()

    old, new = (
        nib.load(mask),
        nib.load(folder / "patient_label-individuals_desc-corrected_dseg.nii.gz"),
    )
    assert old.header.get_data_dtype() == new.header.get_data_dtype() == np.uint8
    assert np.array_equal(old.affine, new.affine)
    assert old.shape == new.shape
    record = json.loads((folder / "patient_corrected.json").read_text(encoding="utf-8"))
    assert (record["steps"], record["voxels_changed"]) == (2, 4)


def test_saving_again_replaces_only_what_nobody_has_changed(tmp_path, patient):
    edit(patient, 0, kind="shift", by=1)
    patient.save(0, "AB", version(patient))
    edit(patient, 1, kind="undo")
    assert patient.case(0, "AB")["unsaved"]
    patient.save(0, "AB", version(patient))
    assert not patient.case(0, "AB")["unsaved"]
    folder = tmp_path / "out" / "patient_corrected-AB"
    assert np.array_equal(rc.corrected_map(folder, "patient"), rc.individuals())
    mine = folder / "patient_label-levels_desc-corrected_dseg.nii.gz"
    mine.write_bytes(mine.read_bytes() + b"\0")
    edit(patient, 0, kind="shift", by=1)
    with pytest.raises(InputError, match="changed since"):
        patient.save(0, "AB", version(patient))
    assert np.array_equal(rc.corrected_map(folder, "patient"), rc.individuals())
    assert patient.case(0, "AB")["unsaved"]


def test_corrections_of_the_pipelines_predictions_lie_outside_its_folders(tmp_path, project):
    edit(project, 0, kind="shift", by=1)
    folder = Path(project.save(0, "AB", version(project))["folder"])
    assert folder == tmp_path / "data/corrected" / DEFAULT_MODEL / "sub-001_corrected-AB"
    assert not list((tmp_path / "data/postprocessed").rglob("*corrected*"))


@pytest.mark.parametrize("renames", range(4))
def test_a_kill_while_saving_leaves_all_or_nothing(tmp_path, patient, renames):
    edit(patient, 0, kind="shift", by=1)
    now = version(patient)
    assert killed_after(renames, lambda: patient_desk(tmp_path).save(0, "AB", now)) != 0
    folder = tmp_path / "out" / "patient_corrected-AB"
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    assert visible == [] or renames > 1
    patient.save(0, "AB", now)
    assert len(rc.corrected_map(folder, "patient")) == rc.SHAPE[0]


def test_a_corrected_mask_goes_back_into_the_data_set(tmp_path, capsys, monkeypatch):
    root = tmp_path / "data" / "raw" / "ingested"
    source = tmp_path / "lab" / "patient.nii.gz"
    write_volume(source, rc.scan(), native=rc.scan().native)
    (case,) = ingest(plan(source, root), root)
    rc.predicted(tmp_path)
    desk = patient_desk(tmp_path)
    places = [(20, 20, 20), (11, 12, 13)]
    voxels = [index(desk, place) for place in places]
    edit(desk, 0, kind="paint", voxels=voxels, value=rc.L5)
    folder = desk.save(0, "AB", version(desk))["folder"]
    monkeypatch.chdir(tmp_path)
    arguments = ["ingest", "--replace", case.name, folder, "--root", str(root), "--no-dvc"]
    assert cli.main(arguments) == 0, capsys.readouterr().err
    expected = rc.individuals()
    for place in places:
        expected[place] = rc.L5
    got = Dataset(root)
    found = read_labels(got.labels(case.name, Scheme.INDIVIDUALS)).data
    assert np.array_equal(found, expected)
    assert np.array_equal(
        read_labels(got.labels(case.name, Scheme.LEVELS)).data, individuals_to_levels(expected)
    )
    entity = read_labels(got.labels(case.name, Scheme.ENTITY)).data
    assert entity[expected > 0].all()
    assert entity[30, 30, 5]


# ------------------------------------------------------------------------------------ judgements


def test_a_judgement_is_a_row_a_region_with_the_version_that_was_seen(tmp_path, project):
    project.confirm(0, "AB", version(project), FORM)
    rows = score_file.read(tmp_path / "data/expert_scores.csv", {"sub-001"})
    assert [(row.region, row.score) for row in rows] == [("all", 0.8), ("lumbar", 0.9)]
    assert {(row.case, row.model, row.rater, row.verdict) for row in rows} == {
        ("sub-001", DEFAULT_MODEL, "AB", "pass")
    }
    assert (rows[0].minutes_with, rows[0].minutes_without) == (30.5, 240)
    assert (rows[0].to_mend, rows[0].comment) == ("L4_D_L S2_D_R", "S2 and S3 swapped")
    assert {row.prediction for row in rows} == {version(project)}
    assert [one["state"] for one in project.overview("AB")] == ["confirmed", "new"]
    assert [one["state"] for one in project.overview("CD")] == ["new", "new"]


def test_saying_the_same_twice_adds_nothing_and_a_change_adds_rows(tmp_path, project):
    for form in (FORM, FORM, FORM | {"verdict": "fail"}):
        project.confirm(0, "AB", version(project), form)
    rows = score_file.read(tmp_path / "data/expert_scores.csv")
    assert [row.verdict for row in rows] == ["pass", "pass", "fail", "fail"]


def test_confirming_saves_corrections_that_are_not_saved_yet(project):
    edit(project, 0, kind="shift", by=1)
    project.confirm(0, "AB", version(project), FORM)
    assert not project.case(0, "AB")["unsaved"]
    folder = Path(project.case(0, "AB")["corrected"])
    assert (rc.corrected_map(folder, "sub-001") > 0).any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verdict": ""}, "verdict"),
        ({"scores": {}}, "score"),
        ({"scores": {"all": 1.7}}, "score"),
        ({"scores": {"all": 0.7, "lumbar": 0.2}}, "score"),
        ({"minutes_with": -3}, "minutes_with"),
        ({"to_mend": ["L9_D_L"]}, "to_mend"),
    ],
)
def test_a_judgement_that_the_table_does_not_take_writes_nothing(tmp_path, project, change, told):
    with pytest.raises(InputError, match=told):
        project.confirm(0, "AB", version(project), FORM | change)
    assert not (tmp_path / "data/expert_scores.csv").exists()


def test_a_scan_that_is_spoilt_needs_no_score(tmp_path, project):
    form = FORM | {"verdict": "artefact", "scores": {}}
    project.confirm(0, "AB", version(project), form)
    (row,) = score_file.read(tmp_path / "data/expert_scores.csv")
    assert (row.verdict, row.score) == ("artefact", None)


def test_a_patients_scores_lie_beside_the_prediction_and_not_in_the_pipelines_table(
    tmp_path, patient
):
    patient.confirm(0, "AB", version(patient), FORM)
    rows = score_file.read(tmp_path / "out/expert_scores.csv")
    assert {row.case for row in rows} == {"sub-patient"}
    assert not (tmp_path / "data/expert_scores.csv").exists()


def test_a_prediction_that_was_made_anew_is_another_case_to_judge(tmp_path, project):
    seen = version(project)
    project.confirm(0, "AB", seen, FORM)
    edit(project, 0, kind="shift", by=1)
    other = rc.individuals()
    other[20, 20, 20] = rc.L5
    mask = project.cases[0].mask
    write_volume(mask, rc.scan().with_data(other), native=rc.scan().native)
    with pytest.raises(Conflict, match="made anew"):
        project.confirm(0, "AB", seen, FORM)
    detail = project.case(0, "AB")
    assert (detail["form"], detail["revision"], detail["confirmed"]) == ({}, 0, [])
    assert project.overview("AB")[0]["state"] == "new"


def _judge_many(root: Path, reviewer: str) -> None:
    desk = project_desk(root)
    for number in range(6):
        form = FORM | {"comment": str(number)}
        desk.confirm(number % 2, reviewer, version(desk, number % 2), form)


def test_two_reviewers_at_once_lose_nothing(tmp_path):
    rc.pipeline(tmp_path)
    codes = at_once(lambda: _judge_many(tmp_path, "AB"), lambda: _judge_many(tmp_path, "CD"))
    assert codes == [0, 0]
    rows = score_file.read(tmp_path / "data/expert_scores.csv")
    for rater in ("AB", "CD"):
        mine = [row.comment for row in rows if row.rater == rater and row.region == "all"]
        assert mine == [str(number) for number in range(6)]


# --------------------------------------------------------------------------------------- drafts


def test_what_was_entered_is_there_for_its_reviewer_only(tmp_path, project):
    project.enter(0, "AB", version(project), FORM)
    again = Desk(project.cases, tmp_path / "data")
    assert again.case(0, "AB")["form"] == FORM
    assert again.case(0, "CD")["form"] == {}
    assert again.overview("AB")[0]["state"] == "begun"


def test_a_case_that_was_only_looked_at_is_still_new(project):
    blank = {"verdict": "", "scores": {"all": None}, "comment": "", "to_mend": [], "seconds": 90}
    project.enter(0, "AB", version(project), blank)
    assert project.overview("AB")[0]["state"] == "new"
    assert project.case(0, "AB")["form"]["seconds"] == 90
    project.enter(0, "AB", version(project), blank | {"scores": {"all": None, "lumbar": 0.5}})
    assert project.overview("AB")[0]["state"] == "begun"


@pytest.mark.parametrize("name", ["", "../x", "A B", "a/b", "é", "x" * 21, None, 3])
def test_a_reviewers_name_stays_within_its_folder(name):
    with pytest.raises(InputError, match="reviewer"):
        drafts.require_reviewer(name)


def test_a_kill_while_a_draft_is_written_leaves_the_old_one(tmp_path, project):
    now, new = version(project), FORM | {"comment": "new"}
    project.enter(0, "AB", now, FORM)
    assert killed_after(0, lambda: project_desk(tmp_path).enter(0, "AB", now, new)) != 0
    assert project.case(0, "AB")["form"] == FORM
    project.enter(0, "AB", now, new)
    assert project.case(0, "AB")["form"]["comment"] == "new"
