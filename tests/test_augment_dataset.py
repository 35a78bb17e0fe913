"""The augmented data set on disk: complete, repeatable, resumable, and on the training side."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spinalroots.augment import dataset
from spinalroots.augment.dataset import Variant
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases, with_map
from spinalroots.files import read_json
from spinalroots.imaging.volume import Volume, read_image, read_labels, write_volume
from spinalroots.pipeline import params as parameters
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels
from spinalroots.stages import augment as stage

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (22, 24, 60)
AFFINE = np.array([[0.9, 0, 0, -10], [0, 0.9, 0, 5], [0, 0, 1.3, -40], [0, 0, 0, 1.0]])
CASES = ("sub-ph001", "sub-ph002", "sub-ph003", "sub-ph004")
VARIANTS = 6


def make_case(data: Dataset, case: str, seed: int) -> None:
    """Short thoracic roots at the top, long lumbar and sacral ones below."""
    rng = np.random.default_rng(seed)
    individuals = np.zeros(SHAPE, np.uint8)
    extents = {"T10": (50, 56), "L2": (28, 44), "S1": (5, 30)}
    for column, (level, (low, high)) in enumerate(extents.items()):
        for side, x in (("L", 6), ("R", 14)):
            z = np.arange(low, high)
            y = 6 + 4 * column + np.rint((z - low) / 12).astype(int)
            value = Root.parse(f"{level}_D_{side}").value
            for dx in (0, 1):
                individuals[x + dx, y, z] = value
    scan = rng.normal(600, 60, SHAPE) - 350 * (individuals > 0)
    maps = {
        Scheme.INDIVIDUALS: individuals,
        Scheme.LEVELS: individuals_to_levels(individuals),
        Scheme.ENTITY: (individuals > 0).astype(np.uint8),
        Scheme.TISSUES: np.full(SHAPE, 2, np.uint8),
    }
    write_volume(data.image(case), Volume(scan.clip(0).astype(np.float32), AFFINE))
    for scheme, labels in maps.items():
        write_volume(data.labels(case, scheme), Volume(labels, AFFINE))


def make_project(folder: Path) -> Path:
    """A project folder with raw and refined data of four cases, the last one for testing."""
    for name in ("data/raw/phantom", "data/refined"):
        data = Dataset(folder / name)
        for seed, case in enumerate(CASES):
            make_case(data, case, seed)
        people = pd.DataFrame({"source": ["phantom"] * len(CASES)}, index=CASES)
        data.write_description("test", people)
    split = {"train": list(CASES[:3]), "validation": [], "test": [CASES[3]]}
    (folder / "data" / "split.json").write_text(json.dumps(split), encoding="utf-8")
    return folder


def parameters_with(workers: int, **augment) -> parameters.Params:
    loaded = parameters.load(ROOT / "params.yaml", scale="smoke")
    changed = {"variants": VARIANTS, "variants_per_case": 3, "whole_per_case": 0, **augment}
    return loaded.model_copy(
        update={"workers": workers, "augment": loaded.augment.model_copy(update=changed)}
    )


def run_stage(folder: Path, monkeypatch, workers: int, **augment) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    stage.main(parameters_with(workers, **augment))


def outputs(folder: Path) -> dict[str, str]:
    """Hash of everything that the stage wrote."""
    paths = [path for part in ("data/augmented", "reports") for path in (folder / part).rglob("*")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project whose stage ran in one process."""
    folder = make_project(tmp_path_factory.mktemp("augment"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_stage(folder, monkeypatch, workers=1)
    return folder


def test_every_variant_is_complete_and_keeps_its_record(finished):
    refined, augmented = Dataset(finished / "data/refined"), Dataset(finished / "data/augmented")
    people = augmented.participants()
    assert augmented.cases() == sorted(people.index)
    assert len(people) == VARIANTS
    for case, row in people.iterrows():
        record = read_json(augmented.sidecar(case))
        assert record["parent"] == row["parent"]
        assert case.startswith(f"{row['parent']}aug")
        assert row["source"] == "phantom"
        scan, maps = dataset.read_case(augmented, case)
        assert set(maps) == set(dataset.read_case(refined, row["parent"])[1])
        assert all(volume.grid.matches(scan.grid) for volume in maps.values())
        assert scan.data.shape[2] == row["slices"]


def test_a_record_replays_to_the_files_it_lies_beside(finished):
    refined, augmented = Dataset(finished / "data/refined"), Dataset(finished / "data/augmented")
    case = augmented.cases()[0]
    record = read_json(augmented.sidecar(case))
    image, maps = dataset.replay(record, *dataset.read_case(refined, record["parent"]))
    np.testing.assert_array_equal(image.data, read_image(augmented.image(case)).data)
    individuals = read_labels(augmented.labels(case, Scheme.INDIVIDUALS))
    np.testing.assert_array_equal(maps[Scheme.INDIVIDUALS].data, individuals.data)
    np.testing.assert_allclose(image.affine, individuals.affine)


def test_only_training_cases_have_variants(finished):
    parents = set(Dataset(finished / "data/augmented").participants()["parent"])
    assert parents <= set(read_json(finished / "data/split.json")["train"])


def test_the_distribution_counts_training_voxels(finished):
    table = pd.read_csv(finished / "reports/class_distribution.csv")
    row = table[table["label"] == "T10_D_L"].iloc[0]
    assert (row["raw_cases"], row["refined_cases"]) == (3, 3)
    assert row["raw_voxels"] == row["refined_voxels"] == 3 * 2 * 6
    made = 0
    augmented = Dataset(finished / "data/augmented")
    for case in augmented.cases():
        data = read_labels(augmented.labels(case, Scheme.INDIVIDUALS)).data
        made += int((data == Root.parse("T10_D_L").value).sum())
    assert row["augmented_voxels"] == row["refined_voxels"] + made


def test_balance_and_plan_are_reported(finished):
    outcome = read_json(finished / "reports/augmentation.json")
    assert outcome["after"]["entropy_nats"] > outcome["before"]["entropy_nats"]
    assert outcome["after"]["rarest_over_median"] > outcome["before"]["rarest_over_median"]
    assert outcome["target_reached"] or "augment." in outcome["limit"]
    plan = pd.read_csv(finished / "reports/augmentation_plan.csv")
    assert len(plan) == VARIANTS
    for name in ("class_distribution", "augmentation_sheet"):
        assert (finished / f"reports/figures/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_rare_roots_weigh_more(finished):
    weights = read_json(finished / "data/augmented/class_weights.json")["individuals"]
    rare, common = (str(Root.parse(name).value) for name in ("T10_D_L", "S1_D_L"))
    assert weights[rare] > weights[common]


def test_without_a_budget_training_goes_on_with_the_refined_cases(finished, tmp_path, monkeypatch):
    make_project(tmp_path)
    run_stage(tmp_path, monkeypatch, workers=1, variants=0)
    assert Dataset(tmp_path / "data/augmented").cases_if_any() == []
    weights = read_json(tmp_path / "data/augmented/class_weights.json")["levels"]
    assert len(weights) == 3
    outcome = read_json(tmp_path / "reports/augmentation.json")
    assert outcome["before"] == outcome["after"]
    assert "budget of 0 variants" in outcome["limit"]
    refined, augmented = Dataset(tmp_path / "data/refined"), Dataset(tmp_path / "data/augmented")
    found, lacking = with_map(training_cases(list(CASES[:3]), [refined, augmented]), Scheme.LEVELS)
    assert ([case.name for case in found], lacking) == (list(CASES[:3]), [])


def test_killed_with_two_workers_it_resumes_to_the_same_bytes(finished, tmp_path, monkeypatch):
    """One process and two give the same files, although the second run was killed half-way."""
    make_project(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_augment_dataset as t\n"
        "t.stage.main(t.parameters_with(2))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "DVC_ROOT"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cache = tmp_path / ".cache" / "augment"
    deadline = time.monotonic() + 120
    while not (done := whole_variants(cache)) and process.poll() is None:
        assert time.monotonic() < deadline, "no variant was made in two minutes"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "data/augmented").exists()
    assert 0 < len(done) < VARIANTS
    before = {path: path.stat().st_ino for path in done}

    run_stage(tmp_path, monkeypatch, workers=2)
    assert {path: path.stat().st_ino for path in done} == before
    assert outputs(tmp_path) == outputs(finished)
    assert len(whole_variants(cache)) == VARIANTS


def whole_variants(cache: Path) -> list[Path]:
    return [path for path in cache.glob("*") if not path.name.startswith(".")]


def test_only_variants_that_no_run_used_lately_are_forgotten(finished):
    cache = finished / ".cache" / "augment"
    used, old, new = whole_variants(cache), cache / "old", cache / "new"
    for folder in (old, new):
        folder.mkdir()
    long_ago = time.time() - (dataset.KEEP_DAYS + 1) * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(used[0], (long_ago, long_ago))
    dataset.forget_unused(cache, used)
    assert set(whole_variants(cache)) == {*used, new}
    new.rmdir()


def test_the_key_follows_what_the_bytes_depend_on(finished, monkeypatch):
    monkeypatch.chdir(finished)
    one = Variant("sub-ph001aug01", "sub-ph001", "balance", "T10", 40, 59)
    limits = parameters_with(1).augment
    key = stage.variant_key(one, limits, seed=1)
    stronger = limits.transforms.model_copy(
        update={"noise": limits.transforms.noise.model_copy(update={"limit": 0.2})}
    )
    changed = replace(one, last=58), replace(one, purpose="variety"), replace(one, parent=CASES[1])
    others = {
        *(stage.variant_key(other, limits, seed=1) for other in changed),
        stage.variant_key(one, limits, seed=2),
        stage.variant_key(
            Variant(*("sub-ph001aug02", *list(vars(one).values())[1:])), limits, seed=1
        ),
        stage.variant_key(one, limits.model_copy(update={"transforms": stronger}), seed=1),
    }
    assert key not in others
    assert len(others) == 6
    more = limits.model_copy(update={"variants": 99})
    assert stage.variant_key(one, more, seed=1) == key
