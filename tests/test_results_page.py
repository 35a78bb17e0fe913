"""docs/results.md shows the run that its reports are of."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_tables_of_the_page_are_those_of_the_committed_reports():
    changed = subprocess.run(
        ["git", "diff", "--quiet", "HEAD", "--", "reports", "docs/results.md"], cwd=ROOT
    ).returncode
    if changed:
        pytest.skip("reports are those of another run than the committed one")
    tool = [sys.executable, str(ROOT / "bin" / "results"), "--check"]
    done = subprocess.run(tool, capture_output=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_table_that_is_out_of_date_is_filled_and_its_paper_column_kept(tmp_path):
    for part in ("bin/results", "docs/results.md", *(f"reports/{name}" for name in REPORTS)):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_bytes((ROOT / part).read_bytes())
    page = tmp_path / "docs/results.md"
    before = page.read_text(encoding="utf-8")
    run = [sys.executable, str(tmp_path / "bin/results")]
    subprocess.run(run, check=True, capture_output=True)
    filled = page.read_text(encoding="utf-8")
    name = "nnunet-all-levels"
    row = next(line for line in filled.splitlines() if line.startswith(f"| {name} |"))
    wrong = row.replace(" ± ", " ± 9", 1)
    page.write_text(filled.replace(row, wrong), encoding="utf-8")
    checked = subprocess.run([*run, "--check"], capture_output=True, encoding="utf-8")
    assert checked.returncode == 1
    assert "out of date: | model | binary Dice" in checked.stdout
    assert wrong in page.read_text(encoding="utf-8")
    subprocess.run(run, check=True, capture_output=True)
    assert page.read_text(encoding="utf-8") == filled
    paper = next(line for line in before.splitlines() if line.startswith(f"| {name} |"))
    assert "±" in paper.rsplit("|", 2)[1]
    assert row.rsplit("|", 2)[1] == paper.rsplit("|", 2)[1]


REPORTS = (
    "metrics_summary.csv",
    "table_models.csv",
    "table_looks.csv",
    "table_quantization.csv",
)
