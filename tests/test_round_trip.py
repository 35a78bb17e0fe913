"""docs/round-trip.md, command by command, in a copy of the project at smoke scale."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT
from pipeline import Copy
from small_model import write_packaged
from test_segments import slicer

from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.ingest.lab import export_case
from spinalroots.phantom.dataset import write_dataset
from spinalroots.registry.anatomy import Root, Scheme

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TRAINED = "models/trained/hardnet-all-levels"
EXPERIMENT = "dvc exp run -S data.source=ingested"
AT_SMOKE_SCALE = {
    EXPERIMENT: "dvc exp run -S data.source=ingested -S scale=smoke -S workers=1 "
    "-S phantom.cases=1 -S augment.variants=1 -S tune.trials=1 -S hardnet.epoch_megavoxels=0.1 "
    "train_hardnet",
    "make push": "make -o .venv/.ready push ARGS=data/raw/ingested.dvc",
}
"""What the page says → the same on less: one of the trainings, and all that it needs."""
COMMANDS = [
    line.split("  # ")[0].strip()
    for block in re.findall(
        r"```sh\n(.*?)```", (ROOT / "docs/round-trip.md").read_text(encoding="utf-8"), re.S
    )
    for line in block.splitlines()
]


def test_the_page_tells_all_six_steps():
    words = [shlex.split(command)[:2] for command in COMMANDS]
    for wanted in (["spinalroots", "ingest"], ["spinalroots", "predict"], ["dvc", "exp"]):
        assert wanted in words
    assert all(said in COMMANDS for said in AT_SMOKE_SCALE)


@pytest.fixture(scope="module")
def story(tmp_path_factory, smoke_params):
    """The copy after every command, what each printed; masks and weights before and after."""
    folder = tmp_path_factory.mktemp("story")
    copy = Copy(folder / "project")
    (copy.folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    three = smoke_params.phantom.model_copy(update={"cases": 3})
    write_dataset(folder / "scan", folder / "truth", three, seed=77)
    for number, patient in ((1, 12), (2, 13), (3, 14)):
        lab = copy.folder / "scans" / f"patient-{patient}"
        export_case(Dataset(folder / "scan"), f"sub-ph00{number}", lab)
    for patient in (13, 14):  # there before: one is validated on, one tested
        case = ("--case", f"sub-0{patient}", "--no-dvc")
        copy.run("spinalroots", "ingest", f"scans/patient-{patient}", *case)
    write_packaged(copy.folder / "models" / "hardnet-anatomy", smoke_params, export=False)
    copy.run("dvc", "remote", "add", "-d", "disk", str(folder / "store"))
    copy.run("git", "commit", "-qam", "remote")
    raw = Dataset(copy.folder / "data/raw/ingested")
    said, copy.masks, copy.weights = {}, {}, {}
    weights = copy.folder / TRAINED / "model.safetensors"
    for command in COMMANDS:
        if command.startswith("spinalroots ingest --replace"):
            copy.run("sh", "-c", AT_SMOKE_SCALE[EXPERIMENT])
            copy.run("git", "add", "-A", "params.yaml", "dvc.lock", "reports", "data")
            copy.run("git", "commit", "-qm", "before the correction")
            copy.weights["before"] = weights.read_bytes()
            copy.masks["before"] = read_labels(raw.labels("sub-012", Scheme.INDIVIDUALS)).data
            correct(copy, raw)
        said[command] = copy.run("sh", "-c", AT_SMOKE_SCALE.get(command, command)).stdout
    copy.masks["after"] = read_labels(raw.labels("sub-012", Scheme.INDIVIDUALS)).data
    copy.weights["after"] = weights.read_bytes()
    copy.said = said
    return copy


GROWN, DROPPED = "L3_D_L", "L4_D_R"


def correct(copy, raw) -> None:
    """What a person does in 3D Slicer: one root a voxel thicker, another without its lower half."""
    scan = read_image(raw.image("sub-012"))
    labels = read_labels(raw.labels("sub-012", Scheme.INDIVIDUALS)).data
    grown = labels == Root.parse(GROWN).value
    free = (labels == 0) & (np.roll(grown, 1, 0) | np.roll(grown, -1, 0))
    short = labels == Root.parse(DROPPED).value
    short[:, :, : int(np.median(np.argwhere(short)[:, 2]))] = False
    masks = {GROWN: grown | free, DROPPED: short}
    slicer(copy.folder / "corrected/Segmentation.seg.nrrd", masks, layers=False, affine=scan.affine)
    copy.masks["drawn"] = masks


def test_the_draft_lies_on_the_scan(story):
    draft = nib.load(story.folder / "drafts/sub-012_T2w_label-individuals_dseg.nii.gz")
    assert draft.shape == nib.load(story.folder / "scans/patient-12/image.nii.gz").shape


def test_corrected_roots_are_what_was_drawn_and_the_others_stay(story):
    before, after = story.masks["before"], story.masks["after"]
    for name, mask in story.masks["drawn"].items():
        assert np.array_equal(after == Root.parse(name).value, mask)
    others = ~np.isin(before, [Root.parse(name).value for name in (GROWN, DROPPED)])
    untouched = others & ~story.masks["drawn"][GROWN]
    assert np.array_equal(after[untouched], before[untouched])


def test_the_comparison_is_printed_and_kept(story):
    (command,) = [one for one in COMMANDS if "--replace" in one]
    assert re.search(rf"{GROWN} +0\.\d+", story.said[command])
    table = story.folder / "reports/corrections/sub-012.csv"
    rows = {row["label"]: row for row in csv.DictReader(table.open(encoding="utf-8"))}
    for name in (GROWN, DROPPED):
        old = story.masks["before"] == Root.parse(name).value
        new = story.masks["drawn"][name]
        dice = 2 * np.sum(old & new) / (np.sum(old) + np.sum(new))
        assert float(rows[name]["dice"]) == pytest.approx(dice, abs=1e-4)
    assert float(rows[GROWN]["removed_mm3"]) == 0 < float(rows[GROWN]["added_mm3"])
    assert float(rows[DROPPED]["added_mm3"]) == 0 < float(rows[DROPPED]["removed_mm3"])


def test_only_what_depends_on_the_correction_is_made_again(story):
    parts = re.split(r"^(\w+):\n", story.said["dvc status"], flags=re.M)[1:]
    told = dict(zip(parts[::2], parts[1::2], strict=True))
    touched = {name for name, what in told.items() if "data/raw\n" in what}
    assert {"check", "refine"} <= touched
    assert not touched & {"phantom", "anatomy_phantoms", "train_anatomy"}
    ran = re.findall(r"Running stage '(\w+)'", story.said[EXPERIMENT])
    assert ran[0] == "refine"
    assert ran[-1] == "train_hardnet"
    assert set(ran) <= {*ran[:1], "split", "augment", "centreline", "tune_hardnet", *ran[-1:]}


def test_the_correction_is_learnt_from_and_by_the_model_that_learns_from_it(story):
    described = json.loads((story.folder / TRAINED / "model.json").read_text(encoding="utf-8"))
    assert "sub-012" in described["trained_on"]["training"]
    assert story.weights["after"] != story.weights["before"]


def test_done_again_there_is_nothing_to_do(story):
    assert "Running stage" not in story.run("dvc", "repro", "train_hardnet").stdout


def test_both_versions_can_be_had_again(story):
    story.run("git", "checkout", "-q", "HEAD~2", "--", "data/raw/ingested.dvc")
    story.run("dvc", "checkout", "data/raw/ingested.dvc")
    labels = Dataset(story.folder / "data/raw/ingested").labels("sub-012", Scheme.INDIVIDUALS)
    assert np.array_equal(read_labels(labels).data, story.masks["before"])
