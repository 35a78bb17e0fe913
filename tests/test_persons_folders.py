"""Every command that writes into a person's folder adds to it: nothing else is lost or changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from lab_scans import SHAPE, lab_folder, phantom_like, scan, snapshot, write_mask

from spinalroots import reconstruct
from spinalroots.cli import main
from spinalroots.dataset.layout import Dataset
from spinalroots.errors import InputError
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels

FOREIGN = {
    "scan.nii.gz": b"a scan",
    "L3_D_L_corrected.nii.gz": b"a mask",
    "notes/of mine.txt": b"notes \xff",
    ".hidden": b"settings",
    "surfaces/another.stl": b"a surface",
}
COMMANDS = ["reconstruct", "ingest", "replace", "score"]


def roots(shift=0):
    """Two pairs of roots, a little to the side."""
    labels = np.zeros((40, 30, 30), np.uint8)
    for name, x in (("L3_D_L", 8), ("L3_D_R", 28), ("L4_D_L", 12), ("L4_D_R", 24)):
        labels[x + shift : x + shift + 3, 12:15, 4:26] = Root.parse(name).value
    return Volume(labels, np.diag([0.6, 0.6, 0.9, 1.0]))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with inputs for every command, and `mine`, a person's folder."""
    monkeypatch.chdir(tmp_path)
    write_volume(Path("map_individuals.nii.gz"), roots())
    lab_folder(Path("lab"), 3)
    write_mask(Path("back/L3_D_L.nii.gz"), np.zeros(SHAPE, np.uint8))
    phantom_like("data/raw/ingested")
    phantom_like("mine", "sub-007", 7)
    for name, content in FOREIGN.items():
        path = Path("mine") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Path("mine")


def run(command):
    score = ["score", "sub-001", "--score", "0.9", "--rater", "A"]
    prediction = ["--prediction", str(Dataset("data/raw/ingested").labels("sub-001", "levels"))]
    return main(
        {
            "reconstruct": ["reconstruct", "map_individuals.nii.gz", "-o", "mine"],
            "ingest": ["ingest", "lab", "--root", "mine", "--no-dvc"],
            "replace": ["ingest", "--replace", "sub-007", "back", "--root", "mine", "--no-dvc"],
            "score": [*score, *prediction, "--file", "mine/scores.csv"],
        }[command]
    )


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_adds_its_files_and_leaves_the_others_to_the_byte(command, linked, place):
    if linked:
        shutil.move(place, "disk")
        place.symlink_to("disk")
    before, beside = snapshot(place), {path.name for path in Path().iterdir()}
    assert run(command) == 0
    after = snapshot(place)
    changed = {name for name in before if after.get(name) != before[name]}
    own = Dataset(Path()).labels("sub-007", Scheme.INDIVIDUALS)
    assert changed == ({str(own)} if command == "replace" else set())
    assert after.keys() > before.keys() or command == "replace"
    assert place.is_symlink() is linked
    compared = {"reports"} if command == "replace" else set()  # what changed, root by root
    assert {path.name for path in Path().iterdir()} == beside | compared
    hidden = {path.name for path in place.rglob(".*")} - {".hidden"}
    assert hidden == ({".spinalroots"} if command == "reconstruct" else set())


def test_export_wants_a_folder_of_its_own(place):
    before = snapshot(place)
    assert main(["export", "sub-001", "-o", "mine"]) == 2
    assert snapshot(place) == before
    assert main(["export", "sub-001", "-o", "mine/exported"]) == 0
    assert {name: snapshot(place)[name] for name in before} == before


def test_a_second_reconstruction_replaces_the_first_but_no_corrected_file(place):
    assert run("reconstruct") == run("reconstruct") == 0
    (place / "measurements.csv").write_text("corrected", encoding="utf-8")
    before = snapshot(place)
    assert run("reconstruct") == 2
    assert snapshot(place) == before


def test_reconstructions_of_two_maps_of_one_name_do_not_mix(place, capsys):
    assert run("reconstruct") == 0
    before = snapshot(place)
    write_volume(Path("map_individuals.nii.gz"), roots(shift=2))
    assert run("reconstruct") == 2
    assert "a result of something else" in capsys.readouterr().err
    assert snapshot(place) == before


def _write(path, data):
    write_volume(path, roots().with_data(data))
    return path


@pytest.mark.parametrize("kind", ["levels", "mask", "one root", "table", "one level"])
def test_a_map_that_only_looks_like_an_individual_map_is_refused(kind, place):
    levels = individuals_to_levels(roots().data)
    data = {
        "levels": levels,
        "table": levels,
        "mask": (levels > 0).astype(np.uint8),
        "one root": (roots().data == Root.parse("L3_D_L").value).astype(np.uint8),
        "one level": np.where(levels == levels.max(), levels, 0).astype(np.uint8),
    }[kind]
    path = _write(Path("result.nii.gz"), data)
    if kind == "table":
        Path("result.tsv").write_text("index\tname\tcolor\n23\tL3\t#ffffff\n", encoding="utf-8")
    before = snapshot(place)
    with pytest.raises(InputError, match=r"an individual map.*put the word individuals"):
        reconstruct.map_file(path, place)
    assert snapshot(place) == before


@pytest.mark.parametrize("kind", ["plain name", "table", "name", "cervical"])
def test_an_individual_map_is_taken_whatever_its_name(kind, place):
    data = roots().data
    if kind == "cervical":  # values that are levels' too, on their own sides
        names = {"L3_D_L": "C3_D_L", "L3_D_R": "C3_D_R", "L4_D_L": "C4_D_L", "L4_D_R": "C4_D_R"}
        table = np.zeros(256, np.uint8)
        for old, new in names.items():
            table[Root.parse(old).value] = Root.parse(new).value
        data = table[data]
    if kind in ("table", "name"):  # one root alone, of a value that a level has too
        data = np.where(data == Root.parse("L3_D_L").value, Root.parse("C3_D_L").value, 0)
        Path("result.tsv").write_text("9\tC3_D_L\n" if kind == "table" else "", encoding="utf-8")
    name = "result_label-individuals_dseg.nii.gz" if kind == "name" else "result.nii.gz"
    table = reconstruct.map_file(_write(Path(name), data.astype(np.uint8)), place / "model")
    assert len(table) == (1 if kind in ("table", "name") else 4)


def test_a_scan_is_no_map(place):
    write_volume(Path("scan.nii.gz"), scan())
    with pytest.raises(InputError):
        reconstruct.map_file(Path("scan.nii.gz"), place)
