import copy

import pytest
import yaml
from conftest import ROOT

from spinalroots.errors import InputError
from spinalroots.pipeline import params

RECORD = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
SCALES = ("smoke", "laptop", "gpu", "paper")


@pytest.fixture
def record():
    return copy.deepcopy(RECORD)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_of_the_projects_own_file_is_complete(scale, record):
    assert params.resolve(record, scale=scale).scale == scale


def test_every_scale_sets_the_same_sections(record):
    assert len({tuple(sorted(record["scales"][scale])) for scale in SCALES}) == 1


def test_a_value_in_the_section_wins_over_the_scale(record):
    record["hardnet"]["learning_rate"] = 0.1234
    for scale in SCALES:
        assert params.resolve(record, scale=scale).hardnet.learning_rate == 0.1234


def test_the_scale_fills_what_is_null(record):
    section, preset = "phantom", record["scales"]["smoke"]["phantom"]
    key = next(name for name in preset if record[section][name] is None)
    filled = params.resolve(record, scale="smoke").model_dump(mode="json")[section][key]
    assert filled == preset[key]


def test_an_unknown_key_is_refused_and_the_nearest_named(record):
    record["hardnet"]["learning_rat"] = 0.1
    with pytest.raises(InputError, match=r"hardnet\.learning_rat.*Did you mean 'learning_rate'"):
        params.resolve(record)


def test_an_unknown_section_is_refused_and_the_nearest_named(record):
    record["hardnett"] = {}
    with pytest.raises(InputError, match="Did you mean 'hardnet'"):
        params.resolve(record)


def test_an_unknown_key_in_a_preset_is_refused(record):
    record["scales"]["laptop"]["phantom"]["casess"] = 3
    with pytest.raises(InputError, match="Did you mean 'cases'"):
        params.resolve(record, scale="laptop")


def test_an_unknown_scale_is_refused(record):
    with pytest.raises(InputError, match="Did you mean 'smoke'"):
        params.resolve(record, scale="smok")


def test_a_value_out_of_range_names_its_place(record):
    record["hardnet"]["learning_rate"] = -1
    with pytest.raises(InputError, match=r"hardnet\.learning_rate: expected .*greater than 0"):
        params.resolve(record)


def test_a_null_that_no_scale_fills_is_refused(record):
    record["seed"] = None
    with pytest.raises(InputError, match="seed: expected a value"):
        params.resolve(record)


def test_a_missing_file_and_broken_yaml_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [1\n", encoding="utf-8")
    with pytest.raises(InputError, match="valid YAML"):
        params.load(tmp_path / "params.yaml")
