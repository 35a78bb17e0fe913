"""The Python API: scans in every form give the same result as the command line does."""

from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT
from scan_files import dicom, itk_image, nifti, tube

import spinalroots
from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.registry.anatomy import Root


@pytest.fixture
def model(stubbed_model):
    return spinalroots.load_model(stubbed_model, device="cpu")


FORMS = {
    "path": lambda folder: nifti(folder / "scan.nii.gz", tube()),
    "text": lambda folder: str(nifti(folder / "scan.nii.gz", tube())),
    "DICOM folder": lambda folder: dicom(folder / "series", tube()),
    "nibabel": lambda folder: nib.Nifti1Image(tube().data, tube().affine),
    "array": lambda folder: (tube().data, tube().affine),
    "SimpleITK": lambda folder: itk_image(tube()),
    "turned": lambda folder: nib.Nifti1Image(tube().data, tube().affine).as_reoriented(
        nib.orientations.ornt_transform(
            nib.io_orientation(tube().affine), nib.orientations.axcodes2ornt("PIR")
        )
    ),
}


def world(image) -> np.ndarray:
    data = np.asarray(image.dataobj)
    voxels = np.argwhere(data)
    points = nib.affines.apply_affine(image.affine, voxels)
    found = np.column_stack([np.round(points, 2) + 0.0, data[tuple(voxels.T)]])
    return np.array(sorted(map(tuple, found)))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_scan_gives_the_maps_of_the_command_line(form, model, tmp_path):
    scan = nifti(tmp_path / "plain.nii.gz", tube())
    given = ["-o", str(tmp_path / "out"), "-m", str(tmp_path / "model"), "--device", "cpu"]
    assert cli.main(["predict", str(scan), *given]) == 0
    result = model.predict(FORMS[form](tmp_path / form))
    for name in ("levels", "individuals", "tissues"):
        written = nib.load(tmp_path / "out" / f"plain_label-{name}_dseg.nii.gz")
        assert np.allclose(world(result.maps[name]), world(written), atol=0.02)


def test_maps_lie_on_the_grid_of_what_was_given(model, tmp_path):
    image = FORMS["turned"](tmp_path)
    result = model.predict(image)
    for name in ("levels", "individuals", "entity", "tissues", "all_roots", "foreground"):
        assert result.maps[name].shape == image.shape
        assert np.allclose(result.maps[name].affine, image.affine, atol=1e-4)
    foreground = np.asarray(result.maps["foreground"].dataobj)
    assert 0 < foreground.max() <= 1


def test_curves_run_along_their_roots(model):
    result = model.predict((tube().data, tube().affine))
    individuals = np.asarray(result.maps["individuals"].dataobj)
    assert set(result.curves) == {
        str(Root.from_value(int(value))) for value in np.unique(individuals) if value
    }
    for name, points in result.curves.items():
        voxels = nib.affines.apply_affine(np.linalg.inv(result.maps["individuals"].affine), points)
        inside = individuals[tuple(np.clip(np.round(voxels).astype(int), 0, 29).T)]
        own = np.argwhere(individuals == Root.parse(name).value)
        apart = np.abs(voxels[:, None] - own[None]).max(axis=-1).min(axis=1)
        assert apart.max() < 1.0, inside
    assert result.centreline.shape[1] == 3


def test_save_writes_what_the_command_line_writes(model, tmp_path):
    scan = nifti(tmp_path / "plain.nii.gz", tube())
    given = ["-o", str(tmp_path / "out"), "-m", str(tmp_path / "model"), "--device", "cpu"]
    assert cli.main(["predict", str(scan), *given]) == 0
    written = model.predict(scan).save(tmp_path / "saved")
    assert {path.name for path in written} == {
        path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")
    }
    for path in written:
        if path.suffix == ".gz":
            assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    (tmp_path / "saved/plain_label-levels_dseg.nii.gz").write_bytes(b"corrected")
    with pytest.raises(InputError, match="changed since"):
        model.predict(scan).save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("scan", "words"),
    [
        ("none.nii.gz", "no such file"),
        ((np.zeros((4, 4)), np.eye(4)), "one 3D volume"),
        ((np.zeros((40, 40, 40)), np.eye(3)), "4 × 4"),
        (np.zeros((40, 40, 40)), "a ndarray"),
        ((np.zeros((40, 40, 40)), np.eye(4)), "with contrast"),
    ],
)
def test_what_is_no_scan_is_an_error_in_four_parts(scan, words, model):
    with pytest.raises(InputError, match=words):
        model.predict(scan)


def test_the_example_in_the_docs_runs(model, tmp_path, monkeypatch):
    nifti(tmp_path / "scan.nii.gz", tube())
    (tmp_path / "models").mkdir()
    (tmp_path / "model").rename(tmp_path / "models/hardnet-anatomy")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["result"].name == "scan"
    assert (tmp_path / "out/scan_prediction.json").is_file()


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod_model'"):
        spinalroots.lod_model  # noqa: B018
