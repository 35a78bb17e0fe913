"""Which parameters a HarDNet training, and a study, depend on; and which words they take."""

from __future__ import annotations

import copy

import pytest
from conftest import ROOT

from spinalroots.errors import InputError
from spinalroots.pipeline import params
from spinalroots.settings.hardnet import Hardnet, Machine, Recipe, Schedule, Tunable, Tune

OWN, EXPERT, SMOKE = (
    params.read_layer(ROOT / name)
    for name in ("params.yaml", "conf/expert.yaml", "conf/scale/smoke.yaml")
)


def resolved(**given) -> params.Params:
    """The project's parameters at smoke scale; `given` are params.yaml's own HarDNet values."""
    own = copy.deepcopy(OWN)
    own["hardnet"] |= given
    return params.resolve(own, EXPERT, {"smoke": SMOKE}, scale="smoke")


def changed(hardnet: Hardnet, name: str) -> Hardnet:
    """The section with another value of `name`."""
    others = {
        "accelerator": "gpu",
        "devices": 3,
        "dim": 3,
        "preset": "68",
        "class_weights": "balanced",
        "augmentation": "none",
        "precision": "16-mixed",
        "untuned": hardnet.untuned.model_copy(update={"accumulate": 99}),
        "skeleton_weight": 0.5,
        "channels_last": not hardnet.untuned.channels_last,
        "checkpointing": not hardnet.untuned.checkpointing,
    }
    value = getattr(hardnet, name)
    if name in others:
        other = others[name]
    elif isinstance(value, bool):
        other = not value
    else:
        other = 7 if value is None else value / 2 if isinstance(value, float) else value + 1
    assert other != value
    return hardnet.model_copy(update={name: other})


@pytest.mark.parametrize("name", list(Hardnet.model_fields))
def test_a_study_depends_on_what_its_trials_read_and_on_nothing_else(name):
    hardnet = resolved().hardnet
    depends = changed(hardnet, name).determines_trials() != hardnet.determines_trials()
    assert depends == (name in {*Recipe.model_fields, "untuned"})


@pytest.mark.parametrize("name", list(Hardnet.model_fields))
def test_weights_depend_on_all_but_where_the_training_runs(name):
    hardnet, tuned = resolved().hardnet, {"width": 1.5, "batch": 3}
    before = hardnet.determines_weights(tuned)
    depends = changed(hardnet, name).determines_weights(tuned) != before
    given = {*Recipe.model_fields, *Schedule.model_fields, *Tunable.model_fields}
    assert depends == (name in given | {"devices", "untuned", "use_tuned"})


def test_every_hardnet_parameter_belongs_to_one_part():
    parts = [set(part.model_fields) for part in (Recipe, Schedule, Machine, Tunable)]
    assert sum(map(len, parts)) + 2 == len(Hardnet.model_fields)
    assert set().union(*parts) | {"untuned", "use_tuned"} == set(Hardnet.model_fields)


def test_neither_the_training_nor_the_study_reads_how_a_trained_network_segments():
    read = {*Hardnet.model_fields, *Tune.model_fields}
    assert not read & {"overlap", "mirroring", "decoding"}


def test_a_given_value_wins_over_the_tuned_one_and_the_study_stays():
    plain, given = resolved().hardnet, resolved(learning_rate=0.123).hardnet
    tuned = {"learning_rate": 0.01, "width": 1.5}
    assert given.tunable(tuned).learning_rate == 0.123
    assert given.tunable(tuned).width == 1.5
    assert given.determines_trials() == plain.determines_trials()


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("devices", 2, 2),
        ("devices", "auto", "auto"),
        ("preset", 70, "70"),
        ("preset", "70", "70"),
        ("precision", 32, "32"),
        ("precision", "bf16-mixed", "bf16-mixed"),
    ],
)
def test_documented_values_are_taken_as_dvc_writes_them(name, written, read):
    assert getattr(resolved(**{name: written}).hardnet, name) == read


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("preset", "huge"),
        ("preset", 71),
        ("accelerator", "tpu"),
        ("precision", "fp8"),
        ("precision", 16),
        ("devices", "all"),
        ("devices", 0),
        ("dim", 4),
    ],
)
def test_unknown_words_are_refused_with_what_would_do(name, written):
    with pytest.raises(InputError) as refused:
        resolved(**{name: written})
    assert f"hardnet.{name}" in refused.value.where
    assert all((refused.value.expected, refused.value.found, refused.value.fix))
