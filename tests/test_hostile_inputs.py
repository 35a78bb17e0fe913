"""Whatever is given, through whatever door: a result or an error in four parts, in bounded memory.

Never a traceback, never a byte of the data changed. Inputs are made in place by the modules
`hostile_*`; every one is tried at its door, and they are counted.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path

import hostile_dicom
import hostile_images
import hostile_itk
import hostile_models
import hostile_tables
import pytest
from hostile import ALL
from lab_scans import lab_folder
from scan_files import nifti, stub_model, tube

from spinalroots import cli
from spinalroots.api import load_model
from spinalroots.dataset.layout import LABEL_SUFFIX
from spinalroots.errors import InputError
from spinalroots.imaging.volume import read_image
from spinalroots.predict import writing
from spinalroots.predict.scan import segment
from spinalroots.predict.sources import Source
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.review import cases, server
from spinalroots.review.desk import Desk

PARSER = cache(cli.build_parser)
"""It takes a fifth of a refusal's time."""
ROOT = Path(__file__).parents[1]

MAKERS = (hostile_dicom, hostile_images, hostile_itk, hostile_models, hostile_tables)

FOUR_PARTS = re.compile(r"^error: .+: expected .+, found .+\. .+", re.DOTALL | re.MULTILINE)
MOST_MB = 600
"""More memory than before, for any input: the largest that is no bomb takes a tenth."""
ADDRESS_SPACE = 24 * 2**30
LIMITED = 'ulimit -v 3145728 && exec "$@"'
SECONDS = 60
"""After which an input counts as one that hangs."""


def digest(*folders: Path) -> dict[str, str]:
    """Every file below, with what it holds; links by where they lead."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Room:
    """A person's folders: `raw` with one case in it, `out` for results, `given` for the input."""

    def __init__(self, template: Path, folder: Path) -> None:
        shutil.copytree(template / "data", folder / "data")
        self.folder, self.raw = folder, folder / "data" / "raw" / "ingested"
        self.tube, self.model = template / "tube.nii.gz", template / "model"
        self.prediction = template / "prediction"
        self.mask = self.prediction / "tube_label-levels_dseg.nii.gz"
        self.given, self.out, self.models = (folder / name for name in ("given", "out", "models"))
        for place in (self.given, self.models):
            place.mkdir()

    def run(self, *words: object) -> int:
        """A command; its exit code is 0, or 2 with one error in four parts."""
        told, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(told), redirect_stderr(errors):
            try:
                code = cli.main([str(word) for word in words])
            except SystemExit as error:  # argparse's own, of words that no command has
                assert "usage:" in errors.getvalue()
                return int(error.code)
        said = errors.getvalue()
        assert "Traceback" not in said, said[-3000:]
        assert code in (0, 2), said[-3000:]
        assert (code == 2) == bool(FOUR_PARTS.search(said)), said[-3000:]
        assert "error: memory" not in said, said
        assert len(said) < 20_000
        return code


def predict(room: Room, *words: object) -> None:
    room.run("predict", *words, "-o", room.out, "--models", room.models, "--device", "cpu")


def ingest(room: Room, *words: object) -> None:
    room.run("ingest", *words, "--root", room.raw, "--no-dvc")


def scan(room: Room, given: Path) -> None:
    if not given.name.startswith("-"):
        ingest(room, given)
    predict(room, given, "-m", room.model)


def masks(room: Room, given: Path) -> None:
    """Corrected masks of a case, a case's masks, a map to reconstruct, to rename, to score."""
    ingest(room, given, "--replace", "sub-001")
    lab = lab_folder(room.folder / "lab", seed=5)
    shutil.copyfile(given, lab / given.name)
    ingest(room, lab)
    if given.suffix != ".json":
        room.run("reconstruct", given, "-o", room.out)
        room.run("rename", given, "--shift", 1, "-o", room.out, "--scheme", "levels")
        score(room, {"prediction": given})


def discs(room: Room, given: Path) -> None:
    predict(room, room.tube, "-m", room.model, "--discs", given)


def anchor(room: Room, given: str) -> None:
    predict(room, room.tube, "-m", room.model, f"--anchor={given}")


def params(room: Room, given: Path) -> None:
    shutil.copytree(ROOT / "conf", given.parent / "conf")
    room.run("params", "--params", given)


def model_file(room: Room, given: Path) -> None:
    room.run("models", "import", given, "--models", room.models)
    model(room, str(given))
    assert sorted(path.name for path in room.models.glob("**/*")) == []


def model(room: Room, given: str) -> None:
    predict(room, room.tube, "-m", given)
    answered(lambda: load_model(given, models=room.models))


def score(room: Room, given: dict) -> None:
    given = {"case": "sub-001", "score": 0.9, "rater": "AB", "prediction": room.mask, **given}
    case = given.pop("case")
    words = [f"--{name}={value}" for name, value in given.items()]
    room.run("score", case, *words, "--file", room.folder / "scores.csv")


def scores(room: Room, given: Path) -> None:
    case = ("score", "sub-001", "--score=0.9", "--rater=AB", f"--prediction={room.mask}")
    room.run(*case, "--file", shutil.copyfile(given, room.folder / "scores.csv"))


def record(room: Room, given: Path) -> None:
    """A prediction with another JSON: predicted again, renamed, reviewed."""
    shutil.copytree(room.prediction, room.out)
    shutil.copyfile(given, room.out / given.name)
    predict(room, room.tube, "-m", room.model)
    shutil.copyfile(given, room.out / given.name)
    room.run("rename", room.out, "--shift", 1, "-o", room.folder / "renamed")
    answered(lambda: reviewed(room.out, room).overview("AB"))


def sidecar(room: Room, given: Path) -> None:
    shutil.copyfile(given, room.raw / "sub-001" / "anat" / given.name)
    ingest(room, room.tube)


def people(room: Room, given: Path) -> None:
    shutil.copyfile(given, room.raw / given.name)
    ingest(room, room.tube)


def corrections(room: Room, given: Path) -> None:
    place = Path.cwd() / paths.CORRECTIONS / given.name
    place.parent.mkdir(parents=True)
    shutil.copyfile(given, place)
    ingest(room, lab_folder(room.folder / "lab", seed=99) / "L3.nii.gz", "--replace", "sub-001")
    assert place.read_bytes().startswith(given.read_bytes())


def real(room: Room, given: Path) -> None:
    run = ("real", given, "--models", room.models, "--device", "cpu", "-o", room.out)
    room.run(*run, "-m", room.model)


def reviewed(out: Path, room: Room) -> Desk:
    found = cases.find([out], room.folder / "data", [room.tube])
    return Desk(found, room.folder / "data")


def request(room: Room, given: dict) -> None:
    from starlette.testclient import TestClient

    desk = reviewed(room.prediction, room)
    client = TestClient(server.app(desk, "TOKEN", 4711), base_url="http://127.0.0.1:4711")
    version = desk.case(0, "AB")["version"].encode()
    body = given.get("body")
    answer = client.request(
        "GET" if body is None else "POST",
        given["path"],
        content=None if body is None else body.replace(b"VERSION", version),
        headers=given.get("headers"),
    )
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert answer.headers["content-security-policy"]
    assert "Traceback" not in answer.text


def answered(ask: Callable[[], object]) -> None:
    with suppress(InputError):
        ask()


DOORS = {
    "scan": scan,
    "masks": masks,
    "discs": discs,
    "anchor": anchor,
    "params": params,
    "model file": model_file,
    "model": model,
    "score": score,
    "scores": scores,
    "record": record,
    "sidecar": sidecar,
    "people": people,
    "corrections": corrections,
    "request": request,
    "real": real,
}


@pytest.fixture(scope="module")
def template(tmp_path_factory, smoke_params) -> Path:
    """What every input is tried upon."""
    from spinalroots.ingest import ingest, plan

    folder = tmp_path_factory.mktemp("hostile") / "room"
    root = folder / "data" / "raw" / "ingested"
    ingest(plan(lab_folder(folder.parent / "earlier", seed=99), root), root)
    nifti(folder / "tube.nii.gz", tube())
    (folder / "model").mkdir()
    (folder / "model" / "package.json").write_text("{}", encoding="utf-8")
    found = segment(read_image(folder / "tube.nii.gz"), stub_model(smoke_params))
    source = Source(folder / "tube.nii.gz", "tube")
    read = writing.read(source, folder / "prediction", writing.Wanted())
    writing.write(read, found, lambda *_: b"png", made_from={})
    return folder


@pytest.fixture(autouse=True)
def stubbed(smoke_params, monkeypatch, tmp_path, template):
    """A stub for the network, and no pictures: what is tried is all that lies before."""
    from spinalroots.predict import batch, load
    from spinalroots.report import figures

    real = load.load

    def loaded(folder, device):
        return stub_model(smoke_params) if Path(folder).name == "model" else real(folder, device)

    monkeypatch.setattr(load, "load", loaded)
    monkeypatch.setattr(figures, "preview", lambda *_: b"png")
    monkeypatch.setattr(cli, "build_parser", PARSER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{template.parent / 'mlflow.db'}")
    batch.loaded.cache_clear()
    yield
    batch.loaded.cache_clear()


@contextmanager
def bounded(name: str):
    """Peak memory and time of the block, held against their bounds."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, limit = _peak_mb(), resource.getrlimit(resource.RLIMIT_AS)

    def late(*_):
        raise TimeoutError(f"{name} goes on and on")

    usual = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    most = _mapped() + ADDRESS_SPACE
    most = most if limit[1] == resource.RLIM_INFINITY else min(most, limit[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
    more = _peak_mb() - before
    assert more < MOST_MB, f"{name} took {more:.0f} MB"


def _status(key: str) -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return float(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024


def _peak_mb() -> float:
    return _status("VmHWM")


def _mapped() -> int:
    return int(_status("VmSize") * 2**20)


CASE = "sub-001_T2w.json"
MAPS = [f"sub-001_{LABEL_SUFFIX[scheme]}.nii.gz" for scheme in Scheme]
CHANGED = {
    "scan": ("participants.tsv",),
    "masks": ("participants.tsv", CASE, *MAPS),
    "corrections": (CASE, *MAPS),
    "sidecar": ("participants.tsv", CASE),
}
"""What a person asks to have changed: a row more of a case that is let in, corrected masks."""


TRIED: dict[str, str] = {}


@pytest.mark.parametrize("name", ALL)
def test_it_ends_in_a_result_or_an_error_in_four_parts(name, template, tmp_path):
    one, room = ALL[name], Room(template, tmp_path / "room")
    given = one.make(room.given)
    before = digest(room.raw, room.given)
    inside = {path: held for path, held in before.items() if path.startswith(str(room.given))}
    names = {path.removeprefix(str(room.given)): held for path, held in inside.items()}
    TRIED[name] = repr((one.door, names or given))
    with bounded(name):
        DOORS[one.door](room, given)
    after = digest(room.raw, room.given)
    asked = CHANGED.get(one.door, CHANGED["scan"])
    kept = {path: content for path, content in before.items() if Path(path).name not in asked}
    assert {path: after.get(path) for path in kept} == kept


def test_three_hundred_inputs_and_more_were_tried():
    """Counted by door and content, so that the same input under two names counts once."""
    if TRIED.keys() < ALL.keys():
        pytest.skip("after all of them only")
    print(f"{len(set(TRIED.values()))} inputs of {len(MAKERS)} modules at {len(DOORS)} doors")
    assert len(set(TRIED.values())) >= 300


@pytest.mark.parametrize(
    "name",
    [
        "scan: mha of many axes",
        "scan: bomb of many extensions",
        "scan: dicom with nested 10^4 deep",
        "model file: zip with a name 3000 times",
    ],
)
def test_a_process_of_its_own_ends_as_well(name, template, tmp_path):
    """In 3 GB of address space, as a person starts it."""
    one, room = ALL[name], Room(template, tmp_path / "room")
    words = ["models", "import"] if one.door == "model file" else ["ingest", "--no-dvc", "--root"]
    words += [] if one.door == "model file" else [str(room.raw)]
    given = one.make(room.given)
    done = subprocess.run(
        ["sh", "-c", LIMITED, "sh", sys.executable, "-m", "spinalroots", *words, str(given)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        env={**os.environ, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 2, done.stderr
    assert FOUR_PARTS.search(done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert "error: memory" not in done.stderr
