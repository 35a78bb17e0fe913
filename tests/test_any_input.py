"""Properties that hold for any header, place, label map, table, parameter and model's file.

Inputs are drawn by hypothesis, always the same ones; whatever fails is made small and printed.
"""

from __future__ import annotations

import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from hostile_images import plain
from hostile_models import sealed, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spinalroots.errors import InputError
from spinalroots.expert import score_file
from spinalroots.expert.scores import COLUMNS
from spinalroots.imaging.anchors import Anchor
from spinalroots.imaging.markups import read_markups
from spinalroots.imaging.placement import Place
from spinalroots.imaging.volume import (
    Volume,
    as_scan,
    read_image,
    read_labels,
    to_native,
    write_volume,
)
from spinalroots.ingest.names import meaning_of
from spinalroots.pipeline import params
from spinalroots.predict import archive
from spinalroots.review import messages

always_the_same = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ANY_FLOAT = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, 1e-38, 3e38])
ROOT = Path(__file__).parents[1]


@always_the_same
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 351), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6
    )
)
def test_any_nifti_header_is_a_scan_or_an_error(edits, tmp_path):
    content = bytearray(plain())
    for at, some in edits:
        content[at : at + len(some)] = some
    path = tmp_path / "scan.nii"
    path.write_bytes(content)
    with suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scan = read_image(path)
        assert scan.data.dtype == np.float32
        assert np.isfinite(scan.data).all()
        assert np.isfinite(scan.affine).all()
        assert scan.grid.orientation == "RAS"


@always_the_same
@given(affine=hnp.arrays(np.float64, (4, 4), elements=ANY_FLOAT))
def test_a_scan_at_any_place_keeps_its_voxels_or_is_refused(affine):
    affine[3] = 0, 0, 0, 1
    data = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    with suppress(InputError):
        scan = as_scan("scan", data, Place(affine))
        assert np.array_equal(to_native(scan), data)


@always_the_same
@given(
    corners=hnp.arrays(np.float64, (3, 3), elements=st.floats(-3, 3)),
    origin=hnp.arrays(np.float64, 3, elements=st.floats(-500, 500)),
)
def test_a_mask_goes_back_to_any_place_that_a_scan_is_read_from(corners, origin, tmp_path):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = corners, origin
    labels = (np.arange(60) % 7).astype(np.uint8).reshape(3, 4, 5)
    with suppress(InputError):
        scan = as_scan("scan", labels.astype(np.float32), Place(affine))
        mask = scan.with_data(scan.data.astype(np.uint8))
        write_volume(tmp_path / "a.nii.gz", mask)
        assert np.allclose(places(read_labels(tmp_path / "a.nii.gz")), places(mask), atol=1e-2)


def places(mask: Volume) -> np.ndarray:
    """Where the voxels of each value lie on average, in mm: axes may have changed their roles."""
    grid = mask.grid
    return np.array([grid.to_mm(np.argwhere(mask.data == one)).mean(axis=0) for one in range(7)])


DTYPES = st.sampled_from([np.uint8, np.int16, np.int32, np.uint16, np.float32, np.float64])


@always_the_same
@given(data=st.data(), dtype=DTYPES)
def test_any_voxels_are_the_same_labels_or_an_error(data, dtype, tmp_path):
    whole = np.issubdtype(dtype, np.integer)
    voxels = data.draw(
        hnp.arrays(dtype, (2, 3, 4), elements=None if whole else ANY_FLOAT, fill=st.just(dtype(1)))
    )
    path = tmp_path / "labels.nii"
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    try:
        labels = read_labels(path, set(range(31)))
    except InputError:
        fine = np.isfinite(voxels).all() and (np.abs(voxels - np.round(voxels)) <= 1e-4).all()
        assert not (fine and (voxels > -0.4).all() and (voxels < 30.4).all())
    else:
        assert np.abs(labels.data.astype(float) - voxels).max() <= 1e-3


CELL = st.text(max_size=12) | st.sampled_from(
    [*COLUMNS, "sub-001", "0.9", "nan", "1e999", "=1+1", '"', "\0", "\r", ",", ";", "2025-01-01"]
)


@always_the_same
@given(
    rows=st.lists(st.lists(CELL, max_size=11), max_size=5),
    header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "latin-1"]),
)
def test_any_table_of_scores_is_read_or_an_error_and_read_again_the_same(
    rows, header, encoding, tmp_path
):
    lines = ([",".join(COLUMNS)] if header else []) + [",".join(row) for row in rows]
    path = tmp_path / "scores.csv"
    path.write_bytes("\n".join(lines).encode(encoding, "replace"))
    with suppress(InputError):
        found = score_file.read(path)
        again = tmp_path / "again.csv"
        again.unlink(missing_ok=True)
        score_file.append_all(again, found)
        assert score_file.read(again) == found


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = sorted(params.Params.model_fields)


@pytest.fixture(scope="module")
def layers() -> tuple[dict, dict]:
    names = {one.stem: params.read_layer(one) for one in (ROOT / "conf" / "scale").glob("*.yaml")}
    return params.read_layer(ROOT / "conf" / "expert.yaml"), names


@always_the_same
@given(own=st.dictionaries(st.sampled_from(SECTIONS) | st.text(max_size=8), VALUE, max_size=3))
def test_any_parameters_are_taken_or_an_error(own, layers, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"scale": "smoke", **own}, allow_unicode=True), "utf-8")
    with suppress(InputError):
        params.resolve(params.read_layer(path), *layers)


@always_the_same
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_parameters_or_an_error(content, layers, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with suppress(InputError):
        params.resolve(params.read_layer(path), *layers)


MODEL = zipped()


@always_the_same
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(MODEL) - 160), st.binary(min_size=1, max_size=6)),
        min_size=1,
        max_size=5,
    ),
    again=st.booleans(),
)
def test_any_bytes_of_a_models_file_are_checked(edits, again, tmp_path):
    """Also where a forger has sealed them anew: then nothing is written outside of its folder."""
    content = bytearray(MODEL)
    for at, some in edits:
        content[at : at + len(some)] = some
    path, folder = tmp_path / "model.zip", tmp_path / "in" / "model"
    path.write_bytes(sealed(bytes(content)) if again else bytes(content))
    changed = bytes(content) != MODEL
    folder.mkdir(parents=True, exist_ok=True)
    try:
        archive.check(path)
        assert again or not changed
        archive.unpack(path, folder)
    except InputError:
        pass
    assert {one.name for one in tmp_path.iterdir()} <= {"model.zip", "in"}
    assert [one.name for one in folder.parent.iterdir()] == ["model"]


@always_the_same
@given(name=st.text(min_size=1, max_size=40), mode=st.integers(0, 0xFFFF))
def test_no_entry_of_any_name_or_kind_is_added_to_a_model(name, mode, tmp_path):
    def more(made: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.create_system = mode << 16, 3
        made.writestr(info, b"x")

    with suppress(UnicodeEncodeError, ValueError):  # that zipfile itself cannot write
        content = zipped(more=more)
        (tmp_path / "model.zip").write_bytes(content)
        with pytest.raises(InputError):
            archive.check(tmp_path / "model.zip")


@always_the_same
@given(text=st.text(max_size=60) | st.from_regex(r"[LTS]\d/[LTS]\d=[-0-9.e,]*", fullmatch=True))
def test_any_anchor_is_one_or_an_error(text):
    with suppress(InputError):
        assert np.isfinite(Anchor.parse(text).ras_mm).all()


@always_the_same
@given(name=st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40))
def test_any_name_of_a_mask_is_understood_or_an_error(name):
    with suppress(InputError):
        meaning = meaning_of(Path(f"{name}.nii.gz"))
        assert meaning is None or "/" not in meaning.rater


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["markups", "type", "controlPoints", "position", "measurements"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@always_the_same
@given(value=JSON, markup=JSON)
def test_any_json_is_a_curve_or_an_error(value, markup, tmp_path):
    import json

    path = tmp_path / "p7_L3_L.mrk.json"
    if isinstance(markup, dict):
        value = {"markups": [{"type": "Curve", "coordinateSystem": "LPS", **markup}]}
    path.write_text(json.dumps(value), encoding="utf-8")
    with suppress(InputError):
        assert np.isfinite(read_markups(path).points_mm).all()


@always_the_same
@given(act=st.sampled_from(sorted(messages.ACTS)), body=st.binary(max_size=80))
def test_any_message_to_the_review_is_one_or_is_refused(act, body):
    with suppress(ValueError):
        messages.read(act, body)
