"""Human scores: what is refused, and that nothing is lost or overwritten."""

from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from processes import at_once

from spinalroots.cli import main
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.expert import predictions, score_file
from spinalroots.expert.scores import COLUMNS, ExpertScore, mean_per_case
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.registry.models import DEFAULT_MODEL

GOOD = {
    "case": "sub-001",
    "model": "nnunet-all-levels",
    "region": "all",
    "rater": "JS",
    "score": 0.8,
    "minutes_without": 240,
    "minutes_with": 60.5,
    "comment": 'S2 and S3 swapped, "hard" to see',
}


def test_a_good_row_comes_back_as_it_was_given(tmp_path):
    path = tmp_path / "data" / "expert_scores.csv"
    written = score_file.append(path, GOOD, known_cases=["sub-001", "sub-002"])
    assert score_file.read(path, ["sub-001"]) == [written] == [ExpertScore(**GOOD)]


def test_missing_file_means_no_scores(tmp_path):
    assert score_file.read(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"score": 1.7}, "score"),
        ({"score": 0.49}, "score"),
        ({"score": "nan"}, "score"),
        ({"score": "good"}, "score"),
        ({"score": None}, "score"),
        ({"case": "sub-999"}, "case"),
        ({"case": "../sub-001"}, "case"),
        ({"case": ""}, "case"),
        ({"rater": ""}, "rater"),
        ({"rater": "   "}, "rater"),
        ({"rater": None}, "rater"),
        ({"model": "unet"}, "model"),
        ({"region": "tail"}, "region"),
        ({"region": "cervical"}, "region"),
        ({"model": "nnunet-sacral-levels", "region": "all"}, "region"),
        ({"minutes_with": -1}, "minutes_with"),
        ({"minutes_without": "an hour"}, "minutes_without"),
        ({"date": "31.3.2025"}, "date"),
        ({"prediction": "latest"}, "prediction"),
        ({"grade": 3}, "grade"),
    ],
)
def test_a_bad_row_is_refused_by_name_and_nothing_is_written(tmp_path, change, column):
    path = tmp_path / "expert_scores.csv"
    score_file.append(path, GOOD)
    before = path.read_bytes()
    with pytest.raises(InputError, match=column):
        score_file.append(path, GOOD | change, known_cases=["sub-001"])
    assert path.read_bytes() == before


def test_optional_fields_may_be_left_out(tmp_path):
    row = {name: GOOD[name] for name in ("case", "model", "region", "rater", "score")}
    written = score_file.append(tmp_path / "scores.csv", row)
    assert (written.minutes_with, written.comment, written.date) == (None, "", "")
    assert score_file.read(tmp_path / "scores.csv") == [written]


def test_no_region_stands_for_the_models_own(tmp_path):
    row = GOOD | {"model": "nnunet-sacral-levels", "region": ""}
    assert score_file.append(tmp_path / "scores.csv", row).region == "sacral"


def test_a_header_alone_holds_no_scores(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    assert score_file.read(path) == []


def test_known_cases_are_those_with_a_scan(tmp_path):
    for name in ("phantom/sub-ph001", "ingested/sub-001"):
        scan = tmp_path / name / "anat" / f"{name.split('/')[1]}_T2w.nii.gz"
        scan.parent.mkdir(parents=True)
        scan.touch()
    (tmp_path / "ingested" / "sub-002").mkdir()
    assert score_file.known_cases(tmp_path) == {"sub-ph001", "sub-001"}


def test_a_file_written_without_a_date_column_is_read_and_kept(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(
        "case,model,region,rater,score,minutes_without,minutes_with,comment\n"
        "sub-001,nnunet-all-levels,all,AB,0.7,,,\n"
    )
    score_file.append(path, GOOD | {"date": "2025-03-31"})
    assert [(row.rater, row.date) for row in score_file.read(path)] == [
        ("AB", ""),
        ("JS", "2025-03-31"),
    ]


def test_the_version_follows_the_voxels_and_nothing_else(tmp_path):
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 7
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    first, turned, other = (tmp_path / f"{name}.nii.gz" for name in "abc")
    write_volume(first, Volume(labels, affine))
    nib.save(nib.as_closest_canonical(nib.load(first)).slicer[::-1], turned)
    write_volume(other, Volume(labels + np.uint8(1), affine))
    assert (
        predictions.version_of(first)
        == predictions.version_of(turned)
        != predictions.version_of(other)
    )
    assert predictions.VERSION.match(predictions.version_of(first))


def test_the_command_names_the_scored_prediction_by_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scan = tmp_path / "data/raw/phantom/sub-ph001/anat/sub-ph001_T2w.nii.gz"
    scan.parent.mkdir(parents=True)
    scan.touch()
    mask = Dataset(f"data/postprocessed/{DEFAULT_MODEL}").labels("sub-ph001", "individuals")
    command = ["score", "sub-ph001", "--score", "0.8", "--rater", "AB"]
    assert main(command) == 2
    assert "--prediction" in capsys.readouterr().err
    assert not Path("data/expert_scores.csv").exists()
    for value in (1, 2):  # the model is trained again in between
        write_volume(mask, Volume(np.full((3, 3, 3), value, np.uint8), np.eye(4)))
        assert main(command) == 0
    assert main(command) == 0  # after a kill that came too late to hinder it
    versions = [row.prediction for row in score_file.read(Path("data/expert_scores.csv"))]
    assert len(versions) == 2
    assert versions[0] != versions[1] == predictions.version_of(mask)
    assert main(["score", "sub-ph001", "--score", "1.7", "--rater", "AB"]) == 2
    assert main(["score", "sub-ph009", "--score", "0.7", "--rater", "AB"]) == 2
    assert len(score_file.read(Path("data/expert_scores.csv"))) == 2


def test_a_raters_later_score_counts():
    rows = [ExpertScore(**GOOD | {"score": 0.6}), ExpertScore(**GOOD | {"score": 0.9})]
    assert mean_per_case(rows, "nnunet-all-levels", "all") == {"sub-001": 0.9}


def test_a_damaged_file_is_named_with_its_line_and_not_overwritten(tmp_path):
    path = tmp_path / "scores.csv"
    score_file.append(path, GOOD)
    path.write_text(path.read_text(encoding="utf-8") + "sub-001,nnunet-all-levels,all,JS,7,,,,\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match="line 3"):
        score_file.append(path, GOOD)
    assert path.read_bytes() == before


def test_a_foreign_header_is_refused(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("name;score\n", encoding="utf-8")
    with pytest.raises(InputError, match="columns"):
        score_file.read(path)


def _write_many(path, rater, count):
    for number in range(count):
        score_file.append(path, GOOD | {"rater": rater, "comment": str(number)})


def test_two_writers_at_once_lose_nothing(tmp_path):
    path, count = tmp_path / "scores.csv", 25
    writers = [partial(_write_many, path, rater, count) for rater in ("A", "B")]
    assert at_once(*writers) == [0, 0]
    rows = score_file.read(path)
    for rater in ("A", "B"):
        assert [row.comment for row in rows if row.rater == rater] == [str(n) for n in range(count)]
    assert len(rows) == 2 * count
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.csv"]


def test_mean_per_case_keeps_models_and_regions_apart():
    rows = [
        ExpertScore(**GOOD | {"score": 0.6}),
        ExpertScore(**GOOD | {"score": 0.8, "rater": "AB"}),
        ExpertScore(**GOOD | {"score": 1.0, "region": "sacral"}),
        ExpertScore(**GOOD | {"score": 1.0, "model": "hardnet-all-levels"}),
        ExpertScore(**GOOD | {"score": 0.9, "case": "sub-002"}),
    ]
    means = mean_per_case(rows, "nnunet-all-levels", "all")
    assert means == {"sub-001": pytest.approx(0.7), "sub-002": 0.9}


SAVED = {
    "a mark of UTF-8": ("utf-8-sig", ",", "."),
    "UTF-16": ("utf-16", ",", "."),
    "semicolons and decimal commas": ("utf-8-sig", ";", ","),
}


@pytest.mark.parametrize("kind", SAVED)
def test_a_file_that_excel_saved_is_read(tmp_path, kind):
    encoding, between, point = SAVED[kind]
    row = GOOD | {"comment": "S2 zu groß"}
    values = [str(row.get(name, "")).replace(".", point) for name in COLUMNS]
    text = "\r\n".join(between.join(line) for line in (COLUMNS, values)) + "\r\n"
    (tmp_path / "scores.csv").write_bytes(text.encode(encoding))
    assert score_file.read(tmp_path / "scores.csv") == [ExpertScore(**row)]


def test_a_file_in_latin_1_is_told_from_one_that_is_damaged(tmp_path):
    row = GOOD | {"comment": "S2 zu groß"}
    values = [str(row.get(name, "")) for name in COLUMNS]
    text = "\n".join(",".join(line) for line in (COLUMNS, values)) + "\n"
    (tmp_path / "scores.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2: expected text in UTF-8.*Latin-1"):
        score_file.read(tmp_path / "scores.csv")
