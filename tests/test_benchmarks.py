"""`make bench`: its table of goals says what was measured, and what was not."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import __main__ as bench
from benchmarks import goals, growth
from spinalroots.files import read_json, write_json


def test_every_goal_rests_on_a_record_that_a_benchmark_writes():
    own = Path(goals.__file__)
    others = [path for path in own.parent.glob("*.py") if path != own]
    text = "\n".join(path.read_text(encoding="utf-8") for path in others)
    for goal in goals.GOALS:
        begins = goal.record.split(": ")[0]
        assert f'"{begins}' in text or goal.record == "make repro"


@pytest.mark.parametrize(("ratio", "met"), [(130.0, True), (129.9, False), (None, None)])
def test_a_goal_is_met_or_not_or_not_measured(ratio, met):
    report = {} if ratio is None else {"flood_fill": {"ratio": ratio}}
    rows = goals.table(report)
    row = next(one for one in rows if one["against"] == "skimage watershed, whole grid")
    assert (row["ratio"], row["met"]) == (ratio, met)
    line = next(one for one in goals.printed(rows).splitlines() if "whole grid" in one)
    assert line.endswith({True: " met", False: "not met", None: "not measured"}[met])
    assert met is not True or not line.endswith("not met")


def test_a_benchmark_without_its_data_is_left_out_and_the_others_figures_are_kept(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "conf"):
        (tmp_path / name).symlink_to(Path(__file__).parents[1] / name)
    write_json(tmp_path / "reports/benchmarks.json", {"flood_fill": {"ratio": 200.0}})
    assert bench.main(["exports"]) == 0
    assert "left out" in capsys.readouterr().out
    report = read_json(tmp_path / "reports/benchmarks.json")
    assert report["flood_fill"] == {"ratio": 200.0}
    assert [row["met"] for row in report["goals"]].count(True) == 1


def test_growth_is_the_rise_of_memory_and_the_distance_from_a_straight_line():
    rows = [("refine", 10, 200.0, 11.0), ("refine", 20, 210.0, 25.0), ("refine", 30, 220.0, 31.0)]
    table = pd.DataFrame(rows, columns=["stage", "cases", "peak_mb", "cpu_s"])
    (found,) = growth.summary(table).to_dict("records")
    assert (found["memory"], found["s a case"], found["off the line"]) == ("+10%", 1.0, "19%")
