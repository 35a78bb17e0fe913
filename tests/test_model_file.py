"""A model as one file: the same answers from another place, and no byte of it changed unnoticed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import random
import shutil
import stat
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from scan_files import dicom, tube
from small_model import NAME, write_packaged, write_scan

from spinalroots import cli
from spinalroots.errors import InputError
from spinalroots.files import sha256
from spinalroots.predict import archive

RUNTIME_LOCK = ROOT / "requirements-runtime.lock"


def locked(name: str) -> dict[str, Requirement]:
    """Package → its line of a lock, those for this machine."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return {one.name: one for one in found if one.marker is None or one.marker.evaluate()}


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """Python of an environment that sees this project, torch and the packages of the runtime lock.

    They are links to what is installed here, so that it takes no network and a second.
    """
    place = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "spinalroots").symlink_to(ROOT / "src/spinalroots")
    for name in (*locked(RUNTIME_LOCK.name), "torch"):
        installed = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(installed.locate_file(top))
    return place / "bin/python"


def alone(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the environment's Python in a folder, without anything of this process's."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env={**kept, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, smoke_params) -> Path:
    return write_packaged(tmp_path_factory.mktemp("packaged") / NAME, smoke_params)


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.zip"
    assert cli.main(["models", "export", str(folder), "-o", str(path)]) == 0
    return path


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".spinalroots"
    }


def refusal(file: Path) -> str:
    """The error of four parts that a file ends in, whoever reads it."""
    with pytest.raises(InputError) as caught:
        archive.check(file)
    error = caught.value
    assert error.where == str(file)
    assert error.expected
    assert error.found
    assert error.fix
    return str(error)


def test_the_runtime_lock_is_a_small_part_of_the_lock():
    runtime, all_of_them = locked(RUNTIME_LOCK.name), locked("requirements.lock")
    assert {name: str(one.specifier) for name, one in runtime.items()} == {
        name: str(one.specifier) for name, one in all_of_them.items() if name in runtime
    }
    assert len(runtime) < len(all_of_them) / 3


def test_from_an_empty_folder_with_the_runtime_packages_alone_it_predicts_the_same_bytes(
    folder, file, bare, tmp_path
):
    scan = write_scan(tmp_path / "scan.nii.gz")
    assert cli.main(["predict", str(scan), "-o", str(tmp_path / "here"), "-m", str(folder)]) == 0
    place = tmp_path / "alone"
    place.mkdir()
    shutil.move(shutil.copy(file, tmp_path / "on-its-way.zip"), place / "model.zip")
    shutil.copy(scan, place)
    absent = ["dvc", "mlflow", "dask", "lightning", "nnunetv2", "optuna", "torchio"]
    code = f"from importlib.util import find_spec as found; print(*map(found, {absent}))"
    assert set(alone(bare, place, "-c", code).stdout.split()) == {"None"}
    command = ("-m", "spinalroots", "predict", "scan.nii.gz", "-o", "out", "-m", "model.zip")
    done = alone(bare, place, *command)
    assert done.returncode == 0, done.stderr
    assert digests(place / "out") == digests(tmp_path / "here")
    said = json.loads((place / "out/scan_prediction.json").read_text(encoding="utf-8"))
    assert said["export"] == "openvino-fp32"
    assert {path.name for path in place.iterdir()} == {"model.zip", "scan.nii.gz", "out"}


def test_the_runtime_packages_are_enough_for_dicom_both_ways_and_surfaces(file, bare, tmp_path):
    dicom(tmp_path / "series", tube())
    options = ("--surfaces", "--dicom-seg", "-m", str(file), "-o", "out")
    done = alone(bare, tmp_path, "-m", "spinalroots", "predict", "series", *options)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("out/*.dcm"))


def test_without_nnunet_its_models_end_in_a_message(bare, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"family": "nnunet"}), encoding="utf-8")
    (tmp_path / "model.safetensors").touch()
    code = (
        "from pathlib import Path; from spinalroots.predict.trained import TrainedModel; "
        "TrainedModel(Path('.'), None).predictor()"
    )
    said = alone(bare, tmp_path, "-c", code).stderr
    assert "InputError: model.json: expected nnU-Net's package" in said


def test_one_changed_byte_anywhere_is_refused(file, tmp_path):
    whole = file.read_bytes()
    draw = random.Random(1)
    weights = draw.sample(range(len(whole)), 150)
    headers = [  # every byte around the entries: local headers, names, central directory, seal
        place
        for info in zipfile.ZipFile(file).infolist()
        for place in range(info.header_offset, info.header_offset + 30 + len(info.filename))
    ]
    directory = range(len(whole) - 1100, len(whole))
    changed = tmp_path / "changed.zip"
    changed.write_bytes(whole)
    assert archive.check(changed).name == NAME
    with changed.open("r+b") as stream:
        for place in [*weights, *draw.sample(headers, 60), *draw.sample(directory, 150)]:
            for byte in (whole[place] ^ (1 << draw.randrange(8)), whole[place]):
                stream.seek(place)
                stream.write(bytes([byte]))
                stream.flush()
                if byte != whole[place]:
                    refusal(changed)
    assert archive.check(changed).name == NAME


def test_a_changed_file_ends_predict_with_a_message_and_nothing_written(file, tmp_path, capsys):
    scan = write_scan(tmp_path / "scan.nii.gz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    changed = tmp_path / "changed.zip"
    changed.write_bytes(bytes(content))
    for command in (
        ["predict", str(scan), "-o", str(tmp_path / "out"), "-m", str(changed)],
        ["models", "import", str(changed), "--models", str(tmp_path / "models")],
    ):
        assert cli.main(command) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: {changed}: expected the file as it was written, found one")
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii.gz", "changed.zip"}


@pytest.mark.parametrize("size", [0, 10, 64, 200, -1, "more"])
def test_what_is_cut_short_or_goes_on_is_refused(size, file, tmp_path):
    content = file.read_bytes()
    other = tmp_path / "other.zip"
    other.write_bytes(content + b"\0" if size == "more" else content[:size])
    refusal(other)


def test_one_model_is_always_the_same_bytes(folder, file, tmp_path):
    again = shutil.copytree(folder, tmp_path / "copied elsewhere")
    (again / "notes.txt").write_text("mine", encoding="utf-8")
    archive.write(again, tmp_path / "again.zip")
    assert sha256(tmp_path / "again.zip") == sha256(file)
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        assert not [name for name in opened.namelist() if name.endswith((".pkl", ".pt", ".pth"))]
        assert opened.read("card.md") == b"# Card\n"


def test_what_comes_in_is_what_went_out(folder, file, tmp_path, capsys):
    models = tmp_path / "models"
    arguments = ["models", "import", str(file), "--models", str(models)]
    assert cli.main(arguments) == 0
    assert digests(models / NAME).items() >= digests(folder).items()
    assert cli.main(arguments) == 0
    assert "holds this model already" in capsys.readouterr().out
    assert cli.main(["models", "list", "--models", str(models)]) == 0
    assert f"{NAME}  levels T10–S3" in capsys.readouterr().out


def test_another_model_of_the_name_is_never_lost(file, tmp_path, capsys):
    models = tmp_path / "models"
    arguments = ["models", "import", str(file), "--models", str(models)]
    (models / NAME).mkdir(parents=True)
    (models / NAME / "model.json").write_text("mine", encoding="utf-8")
    assert cli.main(arguments) == 2
    assert "--name" in capsys.readouterr().err
    assert (models / NAME / "model.json").read_text(encoding="utf-8") == "mine"
    assert cli.main([*arguments, "--name", "theirs"]) == 0
    assert (models / "theirs" / "package.json").is_file()
    assert cli.main([*arguments, "--name", "../outside"]) == 2


def test_an_export_writes_over_nothing(folder, tmp_path, capsys):
    (tmp_path / "there.zip").write_text("mine", encoding="utf-8")
    for name in ("there.zip", "model.tar"):
        assert cli.main(["models", "export", str(folder), "-o", str(tmp_path / name)]) == 2
    assert (tmp_path / "there.zip").read_text(encoding="utf-8") == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"there.zip"}


def test_a_folder_without_a_whole_model_is_not_exported(folder, tmp_path, capsys):
    half = shutil.copytree(folder, tmp_path / "half")
    (half / "model.safetensors").unlink()
    assert cli.main(["models", "export", str(half), "-o", str(tmp_path / "half.zip")]) == 2
    assert "model.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "half.zip").exists()


def forged(file: Path, path: Path, change) -> Path:
    """The file with other entries, sealed anew: what somebody writes who knows the format.

    `change`: list of (ZipInfo, content) → the same, or None where it changed the list.
    """
    with zipfile.ZipFile(file) as source:
        entries = [(info, source.read(info)) for info in source.infolist()]
        comment = source.comment
    entries = change(entries) or entries
    with zipfile.ZipFile(path, "w") as target:
        for info, content in entries:
            target.writestr(info, content, compress_type=info.compress_type)
        target.comment = comment
    return sealed(path)


def sealed(path: Path) -> Path:
    content = path.read_bytes()[:-64]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    return path


def added(name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x"):
    def change(entries):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        entries.append((info, content))

    return change


def linked(entries):
    for info, _ in entries:
        if info.filename == "card.md":
            info.external_attr = (stat.S_IFLNK | 0o777) << 16


def deflated(entries):
    for info, _ in entries:
        if info.filename == "model.safetensors":
            info.compress_type = zipfile.ZIP_DEFLATED


def without(name: str):
    return lambda entries: [one for one in entries if one[0].filename != name]


def replaced(name: str, content: bytes):
    return lambda entries: [
        (info, content if info.filename == name else old) for info, old in entries
    ]


def manifest(**more):
    def change(entries):
        old = json.loads(next(old for info, old in entries if info.filename == "manifest.json"))
        return replaced("manifest.json", json.dumps(old | more).encode())(entries)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (added("../outside.txt"), "'../outside.txt'"),
        (added("/etc/outside"), "'/etc/outside'"),
        (added("export\\..\\..\\x"), "export"),
        (added("weights.pkl"), "'weights.pkl'"),
        (added("export/"), "'export/'"),
        (added("model.json"), "model.json 2 times"),
        (linked, "card.md, which is none"),
        (deflated, "model.safetensors, packed otherwise"),
        (without("model.json"), "no model.json"),
        (without("manifest.json"), "no manifest.json"),
        (without("card.md"), "the files that the manifest names"),
        (replaced("card.md", b"a longer one"), "bytes of card.md"),
        (replaced("manifest.json", b"[]"), "a manifest of format 1"),
        (replaced("manifest.json", b"\xff"), "a manifest of format 1"),
        (manifest(format=2), "format 2"),
        (manifest(name="../x"), "'../x'"),
        (manifest(files={}), "the files that the manifest names"),
    ],
)
def test_a_forged_file_is_refused_before_anything_is_unpacked(change, words, file, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate") if words.endswith("times") else _quiet():
        forged(file, tmp_path / "forged.zip", change)
    assert words in refusal(tmp_path / "forged.zip")
    with pytest.raises(InputError):
        archive.bring_in(tmp_path / "forged.zip", tmp_path / "models")
    assert {path.name for path in tmp_path.iterdir()} == {"forged.zip"}


def test_content_of_another_hash_of_the_same_size_never_arrives(file, tmp_path):
    forged(file, tmp_path / "forged.zip", replaced("card.md", b"# Cart\n"))
    with pytest.raises(InputError, match=r"card\.md as the manifest says"):
        archive.bring_in(tmp_path / "forged.zip", tmp_path / "models")
    assert not list((tmp_path / "models").glob("*"))


def test_a_size_that_is_a_lie_is_no_bomb(file, tmp_path):
    """An entry whose central record claims four gigabytes of nothing."""
    content = bytearray(file.read_bytes())
    directory = content.rindex(b"PK\1\2")
    content[directory + 20 : directory + 28] = b"\xf0\xff\xff\xff" * 2
    (tmp_path / "bomb.zip").write_bytes(bytes(content))
    refusal(sealed(tmp_path / "bomb.zip"))


def _quiet():
    from contextlib import nullcontext

    return nullcontext()
