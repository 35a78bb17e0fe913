"""Cards say what the run's own files say, and that the rest is missing."""

import pytest

from spinalroots.files import write_json, write_text
from spinalroots.pipeline import params as parameters
from spinalroots.registry import paths
from spinalroots.stages import cards

NAME = "hardnet-all-levels"
LEVELS = ["T10", "T11", "S3"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A trained model and nothing else."""
    monkeypatch.chdir(tmp_path)
    write_json(
        paths.TRAINED / NAME / "model.json",
        {
            "name": NAME,
            "target": {"scheme": "levels", "levels": LEVELS, "types": ["D"]},
            "trained_on": {"training": ["sub-1", "sub-1v1", "sub-2"], "validation": ["sub-3"]},
            "provenance": {"key": "k" * 16, "code": "c" * 64, "seed": 5},
        },
    )
    write_json(paths.TRAINED / NAME / "training.json", {"seconds": 90, "energy_kwh": 0.002})
    return tmp_path


def read(path):
    return path.read_text(encoding="utf-8")


def test_what_was_not_measured_is_said_to_be_missing(place, smoke_params: parameters.Params):
    cards.main(smoke_params)
    page = read(paths.MODEL_CARD)
    assert "Test cases: not measured in this run." in page
    assert "- training: 3 cases" in page
    assert "1.5 minutes" in page
    assert "2.00 Wh" in page
    assert "seed 5" in page
    assert read(paths.CARDS / f"{NAME}.md") in page
    assert "Refinement: not measured" in read(paths.DATA_CARD)


def test_a_card_holds_the_runs_own_figures(place, smoke_params):
    write_json(
        paths.SPLIT, {"train": ["sub-1", "sub-2"], "validation": ["sub-3"], "test": ["sub-4"]}
    )
    write_json(
        paths.METRICS,
        {NAME: {"binary_dice": 0.4567, "binary_dice_low": 0.41, "binary_dice_high": 0.5}},
    )
    write_text(
        paths.METRICS_SUMMARY,
        "model,metric,label,n_cases,mean,sd,ci_low,ci_high,missed\n"
        f"{NAME},binary_dice,all,1,0.4567,0,0.41,0.5,0\n"
        f"{NAME},binary_dice,lumbar,1,0.321,0,0.3,0.33,0\n"
        "another,binary_dice,lumbar,1,0.999,0,0.3,0.33,0\n",
    )
    case = {"orientation": "RAS", "voxel_mm": [0.5, 0.5, 3.0]}
    write_json(
        paths.CHECK,
        {
            "findings_by_kind": {"tiny": 2},
            "by_case": {
                f"sub-{number}": {**case, "source": "phantom" if number < 4 else "ingested"}
                for number in range(1, 5)
            },
        },
    )
    cards.main(smoke_params)
    card = read(paths.CARDS / f"{NAME}.md")
    assert "| Dice, all target roots as one | 0.457 (0.410–0.500) |" in card
    assert "| … Dice, lumbar | 0.321 (0.300–0.330) |" in card
    assert "0.999" not in card
    assert "1 test cases (1 ingested)" in card
    assert "- training: 3 cases, variants included (3 phantom)" in card
    assert "synthetic scans only" not in card
    data = read(paths.DATA_CARD)
    assert "| Cases | 4 (1 ingested, 3 phantom) |" in data
    assert "| … for validation | 1 |" in data
    assert "| Voxel size, mm | 0.50 to 3.00 |" in data
    assert "| Findings of the stage `check` | 2 tiny |" in data
