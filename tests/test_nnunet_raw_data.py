"""What nnU-Net is given: the right cases, the right classes, the right folds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nnunet_case import TRAINING, VALIDATION, write_case, write_inputs

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases
from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.imaging.volume import read_labels, write_volume
from spinalroots.nnunet.preprocess import Preprocessor
from spinalroots.nnunet.raw_data import fold_splits, write_raw_dataset
from spinalroots.registry.anatomy import Scheme, Target


@pytest.fixture
def datasets(tmp_path) -> list[Dataset]:
    write_inputs(tmp_path)
    return [Dataset(tmp_path / "data" / "refined"), Dataset(tmp_path / "data" / "augmented")]


def test_labels_become_consecutive_classes_on_the_image_grid(datasets, tmp_path):
    target = Target.of("levels", "thoracic", other_roots=True)
    training = training_cases(TRAINING, datasets)
    validation = training_cases(VALIDATION, datasets)
    folder = tmp_path / "raw"
    record = write_raw_dataset(folder, target, training, validation)["cases"]
    description = read_json(folder / "dataset.json")
    assert description["labels"] == {
        "background": 0,
        "T10": 1,
        "T11": 2,
        "T12": 3,
        "other roots": 4,
        "ignore": 5,
    }
    for name, entry in description["dataset"].items():
        image = nib.load(folder / entry["images"][0])
        label = nib.load(folder / entry["label"])
        assert np.array_equal(image.affine, label.affine)
        classes = np.asanyarray(label.dataobj)
        assert np.bincount(classes.ravel(), minlength=5).tolist() == record[name]["voxels"]
        assert set(np.unique(classes)) == {0, 1, 2}


def test_roots_without_a_name_are_ignored_and_no_patch_is_placed_on_them(datasets, tmp_path):
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    training = training_cases(TRAINING, datasets[:1])
    levels = read_labels(datasets[0].labels("sub-01", Scheme.LEVELS))
    roots = (levels.data > 0).astype(np.uint8)
    roots[0:3, 9:12, 4:30] = 1
    write_volume(datasets[0].labels("sub-01", Scheme.ENTITY), levels.with_data(roots))
    folder = tmp_path / "raw"
    target = Target.of("levels", "thoracic", other_roots=True)
    cases = write_raw_dataset(folder, target, training, training[1:])["cases"]
    classes = read_labels(folder / "labelsTr" / "sub-01.nii.gz").data
    assert np.array_equal(classes == 5, (roots > 0) & (levels.data == 0))
    assert np.array_equal(classes * (classes < 5), target.encode(levels.data))
    assert len(cases["sub-01"]["voxels"]) == 5
    labels = LabelManager(read_json(folder / "dataset.json")["labels"], None)
    assert (labels.ignore_label, labels.num_segmentation_heads) == (5, 5)
    annotated = (-1, *labels.all_labels)
    wanted = [*labels.foreground_labels, list(annotated)]
    places = Preprocessor._sample_foreground_locations(classes[None], wanted)
    assert set(places) == {1, 2, 3, 4, annotated}
    assert 9000 < len(places[annotated]) < 10_000
    assert not (classes[tuple(places[annotated][:, 1:].T)] == 5).any()
    for value in (1, 2):
        assert (classes[tuple(places[value][:, 1:].T)] == value).all()


def test_neighbours_are_background_without_the_extra_class_and_other_roots_with_it(datasets):
    levels = nib.load(datasets[0].labels("sub-01", Scheme.LEVELS)).get_fdata().astype(np.uint8)
    plain = Target.of("levels", "sacral").encode(levels)
    mended = Target.of("levels", "sacral", other_roots=True).encode(levels)
    assert not plain.any()
    assert set(np.unique(mended[levels > 0])) == {4}


def test_one_fold_is_the_split_and_five_never_separate_a_scan_from_its_variants():
    cases = {
        f"sub-{index:02d}": {"parent": f"sub-{index:02d}", "role": "training"} for index in range(6)
    }
    cases["sub-05"]["role"] = "validation"
    cases["sub-00aug01"] = {"parent": "sub-00", "role": "training"}
    assert fold_splits(cases, 1)[0]["val"] == ["sub-05"]
    folds = fold_splits(cases, 5)
    assert sorted(name for fold in folds for name in fold["val"]) == [
        f"sub-{index:02d}" for index in range(6)
    ]
    for fold in folds:
        parents = {cases[name]["parent"] for name in fold["train"]}
        assert parents.isdisjoint(fold["val"])


def test_five_folds_of_three_scans_is_an_error_that_says_so():
    cases = {name: {"parent": name, "role": "training"} for name in ("sub-01", "sub-02", "sub-03")}
    with pytest.raises(InputError, match="at least 5 scans"):
        fold_splits(cases, 5)


def test_a_label_map_on_another_grid_is_refused(datasets, tmp_path):
    case = training_cases(TRAINING, datasets[:1])[0]
    other = Dataset(tmp_path / "other")
    write_case(other, "sub-01", 0)
    image = nib.load(other.labels("sub-01", Scheme.LEVELS))
    nib.save(
        nib.Nifti1Image(np.asanyarray(image.dataobj)[:-1], image.affine),
        case.dataset.labels(case.name, Scheme.LEVELS),
    )
    with pytest.raises(InputError, match="the grid of"):
        write_raw_dataset(tmp_path / "raw", Target.of("levels"), [case], [case])
    assert not Path(tmp_path / "raw" / "dataset.json").exists()
