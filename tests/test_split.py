"""Who is held out: never a subject in two sets, real scans tested first."""

from __future__ import annotations

from itertools import chain

import pandas as pd
import pytest

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.dataset.split import require_disjoint, split_cases
from spinalroots.errors import InputError
from spinalroots.files import read_json, write_bytes
from spinalroots.registry.anatomy import Scheme
from spinalroots.stages import split as stage


def phantoms(count):
    return {f"sub-ph{index:03d}": "phantom" for index in range(1, count + 1)}


def people(count):
    return {f"sub-{index:03d}": "ingested" for index in range(1, count + 1)}


def split(sources, subjects=None, **options):
    options = {"validation": 0.2, "test": 0.2, "seed": 7} | options
    return split_cases(subjects or {case: case for case in sources}, sources, **options)


@pytest.mark.parametrize("seed", range(5))
def test_every_case_is_in_exactly_one_set(seed):
    found = split(phantoms(10), seed=seed)
    assert sorted(chain(*found.values())) == sorted(phantoms(10))
    assert [len(found[name]) for name in ("train", "validation", "test")] == [6, 2, 2]


def test_scans_of_one_person_stay_together():
    sources = people(12)
    subjects = {case: f"person-{index // 3}" for index, case in enumerate(sources)}
    for seed in range(10):
        found = split(sources, subjects, seed=seed)
        sets = [{subjects[case] for case in cases} for cases in found.values()]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 4


def test_the_seed_decides_and_nothing_else():
    shuffled = dict(reversed(phantoms(12).items()))
    assert split(phantoms(12)) == split(shuffled)
    assert len({tuple(split(phantoms(12), seed=seed)["test"]) for seed in range(8)}) > 3


def test_five_folds_test_on_everyone_once():
    for sources in (phantoms(20), people(20) | phantoms(6)):
        folds = [split(sources, fold=fold) for fold in range(5)]
        tested = list(chain(*(found["test"] for found in folds)))
        real = [case for case, source in sources.items() if source == "ingested"]
        assert sorted(tested) == sorted(real or sources)
        for found in folds:
            assert sorted(chain(*found.values())) == sorted(sources)
        assert folds[0] == split(sources)
        assert split(sources, fold=5) == folds[0]


def test_in_no_fold_is_anyone_tested_whose_roots_have_no_sides():
    sources = people(12)
    without = frozenset(list(sources)[:4])
    for fold in range(8):
        found = split(sources, fold=fold, levels_only=without)
        assert not without & set(found["test"])


def test_real_scans_are_tested_and_synthetic_ones_only_trained_on():
    found = split(people(8) | phantoms(20), validation=2, test=3)
    assert all(case in people(8) for case in found["test"] + found["validation"])
    assert set(phantoms(20)) < set(found["train"])
    assert (len(found["test"]), len(found["validation"])) == (3, 2)


def test_a_share_counts_the_real_scans_only():
    found = split(people(10) | phantoms(40), validation=0.2, test=0.3)
    assert (len(found["test"]), len(found["validation"])) == (3, 2)


def test_a_single_real_scan_is_tested_on_the_rest_is_synthetic():
    found = split(people(1) | phantoms(4), validation=2, test=3)
    assert found["test"] == ["sub-001"]
    assert (len(found["validation"]), len(found["train"])) == (1, 3)


def test_three_subjects_make_one_of_each():
    found = split(phantoms(3), validation=5, test=5)
    assert [len(found[name]) for name in ("train", "validation", "test")] == [1, 1, 1]


def test_half_of_few_subjects_are_left_to_train_on():
    found = split(people(3) | phantoms(3), validation=2, test=3)
    assert [len(found[name]) for name in ("train", "validation", "test")] == [3, 1, 2]


def test_two_subjects_are_too_few():
    with pytest.raises(InputError, match="at least three subjects"):
        split(phantoms(2))


def test_cases_without_individual_masks_are_trained_on():
    for seed in range(6):
        found = split(phantoms(10), seed=seed, levels_only=frozenset(["sub-ph004", "sub-ph009"]))
        assert {"sub-ph004", "sub-ph009"} <= set(found["train"])


@pytest.mark.parametrize("seed", range(6))
def test_held_out_sets_hold_both_looks_alike(seed):
    """Nine physical and eight randomised phantoms: four and four tested, one and one validated."""
    sources = phantoms(17)
    looks = dict(zip(sources, ["physical", "randomised"] * 8 + ["physical"], strict=True))
    levels_only = frozenset(["sub-ph005", "sub-ph017"])
    found = split(sources, looks=looks, levels_only=levels_only, validation=2, test=8, seed=seed)
    for name, each in (("test", 4), ("validation", 1)):
        kinds = [looks[case] for case in found[name]]
        assert kinds.count("physical") == kinds.count("randomised") == each
    assert len(found["train"]) == 7


def test_a_rare_look_leaves_the_places_to_the_others():
    looks = dict.fromkeys(phantoms(12), "randomised") | {"sub-ph003": "physical"}
    found = split(phantoms(12), looks=looks, validation=2, test=4)
    assert "sub-ph003" in found["test"]
    assert [len(found[name]) for name in ("train", "validation", "test")] == [6, 2, 4]


def test_a_subject_in_two_sets_is_an_error():
    with pytest.raises(InputError, match="one set only"):
        require_disjoint({"train": ["a"], "test": ["b"]}, {"a": "person", "b": "person"})


def write_cases(root, sources):
    dataset = Dataset(root)
    for case in sources:
        write_bytes(dataset.image(case), b"scan")
        write_bytes(dataset.labels(case, Scheme.INDIVIDUALS), b"labels")
    looks = {case: "randomised" for case, source in sources.items() if source == "phantom"}
    table = pd.DataFrame(
        {"source": sources, "subject": {case: case for case in sources}, "look": looks}
    )
    dataset.write_description("test", table)


def test_the_stage_splits_what_was_refined(tmp_path, monkeypatch, smoke_params):
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "data/refined", people(3) | phantoms(3))
    stage.main(smoke_params)
    found = read_json(tmp_path / "data/split.json")
    assert [case for case in found["test"] if case in phantoms(3)] == []
    assert sorted(chain(*found.values())) == sorted(people(3) | phantoms(3))


def test_the_source_parameter_selects_the_cases(tmp_path, smoke_params):
    write_cases(tmp_path / "phantom", phantoms(4))
    write_cases(tmp_path / "ingested", people(2))

    def selected(source, count):
        data = smoke_params.data.model_copy(update={"source": source, "phantom_cases": count})
        chosen = selected_cases(data, tmp_path)
        return [(case.name, case.source) for case in chosen]

    assert selected("phantom", 2) == list(phantoms(4).items())
    assert selected("ingested", 0) == list(people(2).items())
    assert selected("ingested", 3) == [*people(2).items(), *phantoms(3).items()]
