import pytest
import yaml
from conftest import ROOT

from spinalroots.errors import InputError
from spinalroots.hardnet.network.segmentation import PRESETS
from spinalroots.pipeline import params

SCALES = ("smoke", "laptop", "gpu", "paper")


@pytest.fixture
def layers(tmp_path):
    """The project's own parameter files; `change(file, section, key, value)` edits a copy."""
    for name in ("params.yaml", "conf/expert.yaml", *(f"conf/scale/{s}.yaml" for s in SCALES)):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    return Layers(tmp_path)


class Layers:
    def __init__(self, folder):
        self.folder = folder

    def read(self, name="params.yaml"):
        return yaml.safe_load((self.folder / name).read_text(encoding="utf-8"))

    def set(self, place, value, name="params.yaml"):
        record = self.read(name)
        *sections, key = place.split(".")
        inner = record
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
        (self.folder / name).write_text(yaml.safe_dump(record), encoding="utf-8")

    def load(self, scale=None):
        return params.load(self.folder / "params.yaml", scale=scale)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_of_the_projects_own_files_is_complete(scale, layers):
    assert layers.load(scale).scale == scale


def test_every_scale_sets_the_same_sections(layers):
    assert len({tuple(sorted(layers.read(f"conf/scale/{scale}.yaml"))) for scale in SCALES}) == 1


def test_no_knob_is_given_by_two_files(layers):
    def given(record, place=""):
        for key, value in record.items():
            if isinstance(value, dict):
                yield from given(value, f"{place}{key}.")
            elif value is not None:
                yield f"{place}{key}"

    own, expert = set(given(layers.read())), set(given(layers.read("conf/expert.yaml")))
    assert not own & expert
    for scale in SCALES:
        assert not set(given(layers.read(f"conf/scale/{scale}.yaml"))) & (own | expert)


def test_what_people_turn_fits_on_a_page(layers):
    assert len((ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()) <= 100


def test_a_value_in_params_yaml_wins_over_scale_and_expert(layers):
    layers.set("hardnet.learning_rate", 0.1234)
    layers.set("phantom.cases", 7)
    layers.set("inference.hardnet.overlap", 0.25)
    for scale in SCALES:
        loaded = layers.load(scale)
        assert loaded.hardnet.learning_rate == 0.1234
        assert loaded.phantom.cases == 7
        assert loaded.inference.hardnet.overlap == 0.25


def test_the_scale_fills_what_is_null(layers):
    assert layers.read()["phantom"]["cases"] is None
    wanted = layers.read("conf/scale/smoke.yaml")["phantom"]["cases"]
    assert layers.load("smoke").phantom.cases == wanted


def test_an_unknown_key_is_refused_and_the_nearest_named(layers):
    layers.set("hardnet.learning_rat", 0.1)
    with pytest.raises(InputError, match=r"hardnet\.learning_rat.*Did you mean 'learning_rate'"):
        layers.load()


def test_an_unknown_section_is_refused_and_the_nearest_named(layers):
    layers.set("hardnett.dim", 2)
    with pytest.raises(InputError, match="Did you mean 'hardnet'"):
        layers.load()


@pytest.mark.parametrize("scale", SCALES)
def test_a_typo_in_a_scale_is_found_whichever_scale_is_chosen(scale, layers):
    layers.set("phantom.casess", 3, "conf/scale/gpu.yaml")
    with pytest.raises(InputError, match=r"gpu\.yaml.*Did you mean 'cases'|Did you mean 'cases'"):
        layers.load(scale)


def test_an_unknown_scale_is_refused(layers):
    with pytest.raises(InputError, match="Did you mean 'smoke'"):
        layers.load("smok")


def test_a_value_out_of_range_names_its_place(layers):
    layers.set("hardnet.learning_rate", -1)
    with pytest.raises(InputError, match=r"hardnet\.learning_rate: expected .*greater than 0"):
        layers.load()


def test_a_null_that_no_layer_fills_is_refused(layers):
    layers.set("seed", None)
    with pytest.raises(InputError, match="seed: expected a value"):
        layers.load()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("hardnet.preset", 70),
        ("hardnet.devices", 2),
        ("hardnet.precision", 32),
        ("nnunet.training.precision", 32),
        ("phantom.cases", 3),
    ],
)
def test_a_documented_value_is_taken_as_dvc_writes_it(place, value, layers):
    layers.set(place, value)
    found = layers.load()
    for part in place.split("."):
        found = getattr(found, part)
    assert str(found) == str(value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("hardnet.preset", "huge"),
        ("hardnet.preset", True),
        ("hardnet.accelerator", "tpux"),
        ("hardnet.devices", "two"),
        ("hardnet.devices", 0),
        ("hardnet.precision", "8"),
        ("nnunet.training.precision", 16),
        ("nnunet.training.device", "gpu0"),
        ("reconstruct.model", "no-such-model"),
        ("quantize.models", ["hardnet-all-levels", "other"]),
        ("anatomy.precision", "16-mixed"),
        ("quantize.precisions", ["fp64"]),
        ("phantom.in_plane_mm", [1.0, 0.8]),
        ("phantom.noise", [0.1, 0.01]),
        ("phantom.orientations", ["RAS", "RLS"]),
        ("phantom.annotator.gap_mm", [9.0, 3.0]),
        ("tune.learning_rate", [0.1, 0.001]),
        ("tune.precision", ["auto", "9"]),
        ("augment.transforms.ghosting.ghosts", [6, 2]),
        ("inference.hardnet.decoding", "likeliest"),
        ("refine.levels", ["T10", "L9"]),
        ("hardnet", 3),
        ("nnunet.training", [1]),
        ("seed", "today"),
    ],
)
def test_a_wrong_value_is_refused_in_four_parts_and_named(place, value, layers):
    layers.set(place, value)
    with pytest.raises(InputError) as caught:
        layers.load()
    assert place.split(".")[-1] in caught.value.where
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.fix


@pytest.mark.parametrize("name", ["params.yaml", "conf/expert.yaml", "conf/scale/laptop.yaml"])
@pytest.mark.parametrize("text", ["", "null", "- 1", "3", "seed: [1\n", "\x00"])
def test_a_broken_or_empty_file_is_refused(name, text, layers):
    (layers.folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        layers.load()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_the_presets_that_may_be_chosen_are_those_of_the_network(layers):
    for name in PRESETS:
        layers.set("hardnet.preset", name)
        assert layers.load().hardnet.preset == name
    layers.set("hardnet.preset", "none of them")
    with pytest.raises(InputError, match=", ".join(f"'{name}'" for name in list(PRESETS)[:3])):
        layers.load()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_parameters_that_notepad_saved_are_read(layers, encoding):
    path = layers.folder / "params.yaml"
    expected = layers.load()
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert layers.load() == expected
