"""All names of a finished map moved by a level: what changes, and what must not."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from test_anchors import oblique

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.predict.rename import rename, renamed, table
from spinalroots.registry.anatomy import LEVELS, Root, Scheme

GEOMETRY = (slice(40, 56), slice(76, 108), slice(123, 124), slice(252, 328))
"""Bytes of a NIfTI-1 header: dim, pixdim, units, qform and sform."""


def stored(folder, name, values, dtype=np.uint8, ending=".nii.gz"):
    """A map on an oblique grid with one voxel a value."""
    data = np.zeros((6, 7, 8), dtype)
    for number, value in enumerate(values):
        data[number % 6, number // 6, 3] = value
    image = nib.Nifti1Image(data, oblique())
    image.set_qform(None, 0)
    image.header["descrip"] = b"mine"
    nib.save(image, folder / f"{name}{ending}")
    return folder / f"{name}{ending}"


def raw(path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def values_of(path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_every_root_gets_the_name_of_the_level_so_many_further_down(shift):
    found = table(Scheme.INDIVIDUALS, shift)
    levels = table(Scheme.LEVELS, shift)
    for number, level in enumerate(LEVELS):
        there = 0 <= number + shift < len(LEVELS)
        assert levels[number + 1] == (number + shift + 1 if there else 0)
        for kind in ("D_L", "D_R", "V_L", "V_R"):
            value = Root.parse(f"{level}_{kind}").value
            expected = Root.parse(f"{LEVELS[number + shift]}_{kind}").value if there else 0
            assert found[value] == expected
    assert not found[[0, *range(121, 256)]].any()


@pytest.mark.parametrize(("dtype", "ending"), [(np.uint8, ".nii.gz"), (np.float32, ".nii")])
def test_voxels_keep_their_places_and_the_grid_its_bytes(tmp_path, dtype, ending):
    roots = [Root.parse(name).value for name in ("T10_D_L", "L3_D_R", "S3_V_L")]
    path = stored(tmp_path, "a_label-individuals_dseg", roots, dtype, ending)
    rename([path], 1, tmp_path / "new")
    new = tmp_path / "new/a_label-individuals_dseg.nii.gz"
    for part in GEOMETRY:
        assert raw(new)[part] == raw(path)[part]
    before, after = values_of(path), values_of(new)
    assert np.array_equal(before > 0, after > 0)
    names = {str(Root.from_value(int(value))) for value in after[after > 0]}
    assert names == {"T11_D_L", "L4_D_R", "S4_V_L"}
    labels = (tmp_path / "new/a_label-individuals_dseg.tsv").read_text(encoding="utf-8")
    assert "S4_V_L" in labels


def test_up_and_down_again_gives_the_same_voxels(tmp_path):
    path = stored(tmp_path, "levels", range(3, 29))
    rename([path], 2, tmp_path / "down")
    rename([tmp_path / "down/levels.nii.gz"], -2, tmp_path / "up")
    assert np.array_equal(values_of(tmp_path / "up/levels.nii.gz"), values_of(path))


def test_names_that_would_leave_the_registry_are_refused_with_their_list(tmp_path):
    path = stored(tmp_path, "levels", [20, 29, 30])
    with pytest.raises(InputError, match="S4, S5, which"):
        rename([path], 2, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path):
    path = stored(tmp_path, "levels", [20])
    with pytest.raises(InputError, match=r"levels\.nii\.gz"):
        rename([path], 1, tmp_path)
    assert values_of(path).max() == 20
    rename([path], 1, tmp_path / "new")
    rename([path], 1, tmp_path / "new")  # the same once more
    with pytest.raises(InputError, match="something else"):
        rename([path], -1, tmp_path / "new")


def test_two_maps_of_one_name_do_not_mix(tmp_path):
    (tmp_path / "b").mkdir()
    both = [stored(tmp_path, "levels", [20]), stored(tmp_path / "b", "levels", [21])]
    with pytest.raises(InputError, match="another name"):
        rename(both, 1, tmp_path / "new")


def test_a_map_that_is_not_there_is_said_to_be_missing(tmp_path, capsys):
    assert cli.main(["rename", str(tmp_path / "gone"), "--shift", "1", "-o", str(tmp_path)]) == 2
    assert "found no such file or folder" in capsys.readouterr().err


def test_a_map_whose_name_does_not_tell_needs_its_scheme(tmp_path, capsys):
    path = stored(tmp_path, "mine", [20])
    arguments = ["rename", str(path), "--shift", "-1", "-o", str(tmp_path / "new")]
    assert cli.main(arguments) == 2
    assert "--scheme" in capsys.readouterr().err
    assert cli.main([*arguments, "--scheme", "levels"]) == 0
    assert values_of(tmp_path / "new/mine.nii.gz").max() == 19


def test_a_whole_prediction_moves_with_its_maps_and_json(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    stored(folder, "scan_label-levels_dseg", [24, 25])
    stored(folder, "scan_label-individuals_dseg", [Root.parse("L4_D_L").value])
    for name in (
        "scan_label-roots_mask",
        "scan_label-tissues_dseg",
        "scan_desc-foreground_probseg",
    ):
        stored(folder, name, [1])
    for name in ("scan_preview.png", "scan_label-tissues_dseg.tsv", "notes.txt"):
        (folder / name).write_text(name, encoding="utf-8")
    record = {
        "model": "m",
        "voxels": {"L4_D_L": 7, "T12_D_R": 2},
        "warnings": [
            {"kind": "small_root", "label": "L4_D_L", "message": "L4_D_L has 0.5 mm³."},
            {"kind": "missing_level", "label": "L5", "message": "L5 has no root, though T12 do."},
            {"kind": "unlike_training", "label": "slice_mm", "message": "T2 is 5."},
        ],
        "naming": {"rests_on": "conus", "note": "Names rest on the cord's end."},
    }
    (folder / "scan_prediction.json").write_text(json.dumps(record), encoding="utf-8")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    rename([folder], 1, tmp_path / "new")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    new = {path.name: path for path in (tmp_path / "new").iterdir() if path.name[0] != "."}
    assert set(new) == (set(before) - {"scan_preview.png", "notes.txt"}) | {
        f"scan_label-{scheme}_dseg{ending}"
        for scheme in ("levels", "individuals")
        for ending in (".tsv", "_itksnap.txt", ".ctbl")
    }
    for name in ("scan_label-roots_mask.nii.gz", "scan_label-tissues_dseg.nii.gz"):
        assert new[name].read_bytes() == before[name]
    assert set(np.unique(values_of(new["scan_label-levels_dseg.nii.gz"]))) == {0, 25, 26}

    found = json.loads(new["scan_prediction.json"].read_text(encoding="utf-8"))
    assert found["voxels"] == {"L5_D_L": 7, "L1_D_R": 2}
    assert [one["label"] for one in found["warnings"]] == ["L5_D_L", "S1", "slice_mm"]
    assert [one["message"] for one in found["warnings"]] == [
        "L5_D_L has 0.5 mm³.",
        "S1 has no root, though L1 do.",
        "T2 is 5.",
    ]
    assert found["naming"]["renamed_by"] == 1
    assert "+1 level" in found["naming"]["note"]
    assert found["naming"]["note"].endswith("Before: Names rest on the cord's end.")


def test_a_record_that_was_renamed_twice_tells_the_sum():
    once = renamed({"voxels": {"L3_D_L": 1}, "naming": {"note": "Rests."}}, 1)
    back = renamed(once, -1)
    assert back["voxels"] == {"L3_D_L": 1}
    assert back["naming"]["renamed_by"] == 0
    assert back["naming"]["note"].count("Rests.") == 1


def test_a_folder_without_maps_is_refused(tmp_path):
    with pytest.raises(InputError, match="no level map"):
        rename([tmp_path], 1, tmp_path / "new")
