"""A lab's own scans through every stage that does not train, synthetic ones beside them."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from spinalroots.dataset.layout import Dataset
from spinalroots.files import read_json
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.ingest import ingest, plan
from spinalroots.ingest.lab import export_case
from spinalroots.metrics.root_maps import read_annotation
from spinalroots.phantom.dataset import write_dataset
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import MODELS
from spinalroots.stages import augment, centreline, check, refine, split

ANNOTATED, BARE = [f"sub-00{number}" for number in (1, 2, 3)], "sub-004"


@pytest.fixture(scope="module")
def run(tmp_path_factory, smoke_params):
    """The stages' folder, after a run on three annotated scans, a bare one, and a phantom."""
    root = tmp_path_factory.mktemp("run")
    lab, phantoms = root / "lab", smoke_params.phantom
    three, one = (phantoms.model_copy(update={"cases": count}) for count in (3, 1))
    write_dataset(root / "others", root / "others-truth", three, seed=31)
    write_dataset(root / "data/raw/phantom", root / "data/truth", one, smoke_params.seed)
    for case in Dataset(root / "others").cases():
        export_case(Dataset(root / "others"), case, lab / f"Patient {case}")
    (lab / "without masks").mkdir()
    image = nib.load(lab / "Patient sub-ph001" / "image.nii.gz")
    bare = nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine)
    nib.save(bare, lab / "without masks" / "image.nii.gz")
    ingest(plan(lab, root / "data/raw/ingested"), root / "data/raw/ingested")
    params = smoke_params.model_copy(
        update={
            "workers": 1,
            "data": smoke_params.data.model_copy(update={"source": "ingested", "phantom_cases": 1}),
            "augment": smoke_params.augment.model_copy(update={"variants": 1}),
        }
    )
    before = os.getcwd()
    os.chdir(root)
    try:
        for stage in (check, refine, split, augment, centreline):
            stage.main(params)
    finally:
        os.chdir(before)
    return root


def test_real_and_synthetic_cases_stay_told_apart(run):
    source = dict.fromkeys(ANNOTATED, "ingested") | {"sub-ph001": "phantom"}
    assert Dataset(run / "data/refined").participants()["source"].to_dict() == source
    checked = read_json(run / "reports/check.json")["by_case"]
    assert {name: case["source"] for name, case in checked.items()} == source | {BARE: "ingested"}
    for _, variant in Dataset(run / "data/augmented").participants().iterrows():
        assert variant["source"] == source[variant["parent"]]


def test_only_real_scans_are_held_out(run):
    chosen = read_json(run / "data/split.json")
    assert set(chosen["test"] + chosen["validation"]) < set(ANNOTATED)
    assert "sub-ph001" in chosen["train"]


def test_a_scan_without_masks_is_named_and_left_out_of_training_but_gets_a_centreline(run):
    figures = read_json(run / "reports/refinement.json")
    assert figures["cases_without_roots"] == [BARE]
    assert all(BARE not in part for part in read_json(run / "data/split.json").values())
    (finding,) = read_json(run / "reports/check.json")["by_case"][BARE]["findings"]
    assert finding["kind"] == "no masks"
    assert (run / "data/centreline/raw" / f"{BARE}.json").is_file()


def test_the_gain_is_measured_on_synthetic_cases_only(run):
    figures = read_json(run / "reports/refinement.json")
    assert figures["cases_by_source"] == {"ingested": 3, "phantom": 1}
    assert figures["cases_measured_against_a_truth"] == 1
    table = pd.read_csv(run / "reports/centreline.csv").set_index("case")
    assert table["mean_mm"].notna().to_dict() == dict.fromkeys([*ANNOTATED, BARE], False) | {
        "sub-ph001": True
    }


def test_a_real_test_case_is_held_against_its_refined_annotation(run):
    (case,) = read_json(run / "data/split.json")["test"]
    refined, raw = Dataset(run / "data/refined"), Dataset(run / "data/raw/ingested")
    reference = read_annotation(
        refined, case, MODELS["nnunet-all-levels"].target(), read_image(raw.image(case)).grid
    )
    whole = reference.levels.data
    assert np.count_nonzero(whole) == np.count_nonzero(
        read_labels(refined.labels(case, Scheme.LEVELS)).data
    )
    drawn = read_labels(raw.labels(case, Scheme.LEVELS)).data
    both = (whole != 0) & (drawn != 0)
    assert np.mean(whole[both] == drawn[both]) > 0.9
    tissues = read_labels(raw.labels(case, Scheme.TISSUES)).data
    assert reference.unnamed.sum() > 100
    assert not (reference.unnamed & ((whole != 0) | (tissues != 0))).any()
