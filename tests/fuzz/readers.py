"""Coverage-guided fuzzing of everything that reads a file from outside (docs/security.md).

    pip install atheris            # not among the project's own requirements
    python tests/fuzz/readers.py --seeds CORPUS
    python tests/fuzz/readers.py CORPUS -max_total_time=600 -rss_limit_mb=3000 -timeout=25

An input's first byte says which reader gets the rest. A reader may answer, or raise an InputError;
anything else is a fault, and atheris keeps the input that led to it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["spinalroots", "nibabel", "pydicom", "zipfile"]):
    import pydicom  # noqa: F401

    from spinalroots.errors import InputError
    from spinalroots.expert import score_file
    from spinalroots.imaging.anchors import Anchor, read_discs
    from spinalroots.imaging.markups import read_markups
    from spinalroots.imaging.volume import read_image, read_labels
    from spinalroots.ingest import comparison, segments
    from spinalroots.ingest.dicom import read_stack
    from spinalroots.ingest.dicom_stacks import is_dicom, stacks_of
    from spinalroots.pipeline import params
    from spinalroots.predict import archive, rename
    from spinalroots.review import cases, messages


def dicom(path: Path) -> None:
    is_dicom(path)
    for stack in stacks_of([path]):
        read_stack(stack)


def segmentation(path: Path) -> None:
    if segments.segment_names(path):
        segments._segments(path, path.stat().st_mtime_ns)
        segments._segments.cache_clear()


def model(path: Path) -> None:
    """A forger seals the file anew."""
    content = path.read_bytes()
    end = content.rfind(archive._SEAL)
    if end >= 0:
        body = content[: end + len(archive._SEAL)]
        path.write_bytes(body + sha256(body).hexdigest().encode())
    archive.check(path)


def layer(path: Path) -> None:
    read = params.read_layer(path)
    params.resolve(read, {}, {"smoke": {}})


def message(path: Path) -> None:
    try:
        messages.read("edit", path.read_bytes())
    except ValueError:  # pydantic's own, which the server answers with 400
        return


def anchor(path: Path) -> None:
    Anchor.parse(path.read_bytes().decode("utf-8", "replace"))


READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("a.nii", read_image),
    ("b.nii.gz", read_labels),
    ("c.nrrd", read_image),
    ("d.mha", read_image),
    ("e.mgh", read_image),
    ("f.hdr", read_image),
    ("g.dcm", dicom),
    ("h.seg.nrrd", segmentation),
    ("i.dcm", segmentation),
    ("j_L3_D_L.mrk.json", read_markups),
    ("k.zip", model),
    ("l.yaml", layer),
    ("m.csv", score_file.read),
    ("n.csv", comparison.next_correction),
    ("o.json", lambda path: (cases._record(path), rename._renamed(path, 1))),
    ("p.json", message),
    ("q.nii", read_discs),
    ("r.txt", anchor),
]
PLACE = Path(
    tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
)


def one(data: bytes) -> None:
    if not data:
        return
    name, read = READERS[data[0] % len(READERS)]
    path = PLACE / name
    path.write_bytes(data[1:])
    try:
        read(path)
    except InputError:
        return


def seeds(corpus: Path) -> None:
    """The hostile inputs of the tests as files to begin with."""
    import hostile_dicom
    import hostile_images
    import hostile_itk
    import hostile_models
    import hostile_tables
    from hostile import ALL

    for module in (hostile_dicom, hostile_images, hostile_itk, hostile_models, hostile_tables):
        assert module.add
    corpus.mkdir(exist_ok=True)
    endings = {Path(name).suffix: number for number, (name, _) in enumerate(READERS)}
    for hostile in ALL.values():
        folder = Path(tempfile.mkdtemp(dir=PLACE))
        hostile.make(folder)
        for path in folder.rglob("*"):
            if not path.is_symlink() and path.is_file() and 0 < path.stat().st_size < 200_000:
                number = endings.get(path.suffix, 6)
                content = bytes([number]) + path.read_bytes()
                (corpus / sha256(content).hexdigest()[:16]).write_bytes(content)


if __name__ == "__main__":
    if "--seeds" in sys.argv:
        seeds(Path(sys.argv[-1]))
    else:
        atheris.Setup(sys.argv, one)
        atheris.Fuzz()
