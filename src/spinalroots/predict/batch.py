"""Many scans, one after the other or side by side: what fails is told, the others are done."""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spinalroots import __version__
from spinalroots.compute.parallel import each
from spinalroots.errors import InputError, of_machine
from spinalroots.files import files_together, read_json, sha256, tidied, write_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.predict import load, outputs, writing
from spinalroots.predict.scan import Segmentation, centreline_of, segment
from spinalroots.predict.sources import Source
from spinalroots.predict.writing import Draw, Read, Wanted

DONE, CURRENT, UNUSABLE, FAULT = "done", "up to date", "could not be used", "fault of the program"
DESCRIPTION = "dataset_description.json"


@dataclass
class Outcome:
    """What became of one scan.

    `status`: one of the four above; `results`: where its results lie, if there are any; `reason`:
    why it was not done; `told`: what a person should hear at once; `warnings`: the messages of all.
    """

    scan: str
    status: str
    results: str | None
    reason: str = ""
    seconds: float = 0.0
    told: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What is the same for all scans: `model` is a folder, `device` auto, cpu or cuda."""

    out: Path
    model: Path
    device: str
    draw: Draw
    wanted: Wanted
    options: Mapping[str, Any]
    model_sha256: str
    force: bool = False


def run(
    sources: Sequence[Source],
    out: Path,
    model: Path,
    draw: Draw,
    wanted: Wanted,
    *,
    device: str = "auto",
    jobs: int = 1,
    force: bool = False,
    quiet: bool = False,
) -> list[Outcome]:
    """Segment every scan whose results are missing or out of date; the model is loaded once.

    Results are out of date when the scan, the model, the version of this program or what is asked
    for has changed. A mask that a person corrected is left alone.

    :param model: folder of the model.
    :param jobs: scans side by side, each in a process of its own that loads the model once.
    :param force: do all again.
    :param quiet: no bar.
    :raises InputError: the model, the discs or the device cannot be used.
    """
    digest = hashlib.sha256()
    for path in sorted(one for one in Path(model).rglob("*") if one.is_file()):
        digest.update(os.fsencode(f"{path.relative_to(model)} {sha256(path)}\n"))
    task = Task(
        Path(out), Path(model), device, draw, wanted, wanted.as_json(), digest.hexdigest(), force
    )
    if any(source.bids for source in sources):
        _describe(Path(out))
    quiet = quiet or len(sources) < 2
    if jobs > 1:
        pairs = [(source, task) for source in sources]
        return each(one, pairs, jobs, "predict", "scan", quiet=quiet)
    return _in_turn(sources, task, quiet)


def _in_turn(sources: Sequence[Source], task: Task, quiet: bool) -> list[Outcome]:
    """One scan after the other through the network; meanwhile the next is read, the last written.

    :raises InputError: as :meth:`Scan.read`.
    """
    scans = [Scan(source, task) for source in sources]
    shown = tqdm(total=len(scans), desc="predict", unit="scan", disable=quiet)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer, shown as bar:
        read = written = None
        for number, scan in enumerate(scans):
            (read or reader.submit(scan.read)).result()
            read = reader.submit(scans[number + 1].read) if number + 1 < len(scans) else None
            scan.segment()
            if written is not None:
                written.result()
                bar.update()
            written = writer.submit(scan.write)
        if written is not None:
            written.result()
            bar.update()
    return [scan.outcome for scan in scans]


def one(source: Source, task: Task) -> Outcome:
    """One scan from beginning to end.

    :raises InputError: as :meth:`Scan.read`.
    """
    scan = Scan(source, task)
    scan.read()
    scan.segment()
    scan.write()
    return scan.outcome


class Scan:
    """A scan on its way: read, segmented, written, each of which may be done by another thread.

    What makes this scan fail goes into its `outcome`, and the steps that are left do nothing; only
    what makes every scan fail is raised.
    """

    def __init__(self, source: Source, task: Task):
        self.source, self.task = source, task
        self.outcome = Outcome(str(source.path), DONE, str(task.out / source.folder / source.stem))
        self.made_from: dict[str, Any] = {}
        self.ready: tuple[Read, Centreline, load.Model] | None = None
        self.found: tuple[Read, Segmentation] | None = None

    def read(self) -> None:
        """The scan, if it is to be done, its centreline, and the model.

        :raises InputError: the model cannot be used.
        """
        source, task = self.source, self.task
        checked = None
        with self._step():
            if (folder := task.out / source.folder).is_dir():
                tidied(folder)  # what a killed run left, also where there is nothing left to do
            digest = source.sha256() if all(path.is_file() for path in source.files) else ""
            self.made_from = {
                "scan_sha256": digest,
                "model_sha256": task.model_sha256,
                "spinalroots": __version__,
                **task.options,
            }
            folder = task.out / source.folder
            if digest and not task.force and _current(folder, source.stem, self.made_from):
                self.outcome.status = CURRENT
                return
            checked = writing.read(source, task.out, task.wanted, digest or None)
        if checked is None:
            return
        model = loaded(task.model, task.device, task.model_sha256)
        with self._step():
            self.ready = checked, centreline_of(checked.scan, model, checked.anchors), model

    def segment(self) -> None:
        """What is in it."""
        if self.ready is not None:
            with self._step():
                checked, centreline, model = self.ready
                found = segment(checked.scan, model, checked.anchors, centreline=centreline)
                self.ready, self.found = None, (checked, found)

    def write(self) -> None:
        """All files at once."""
        if self.found is not None:
            with self._step():
                checked, found = self.found
                self.found = None
                task = self.task
                record = writing.write(checked, found, task.draw, task.wanted, self.made_from)
                self.outcome.told = writing.told(record)
                self.outcome.warnings = [one["message"] for one in record["warnings"]]

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Turn what fails in the block into the outcome; its time is added up."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            refused, self.outcome.results = of_machine(error) or error, None
            if isinstance(refused, InputError):
                self.outcome.status, self.outcome.reason = UNUSABLE, str(refused)
            else:
                self.outcome.status = FAULT
                self.outcome.reason = "".join(traceback.format_exception(error)).rstrip()
        self.outcome.seconds = round(self.outcome.seconds + time.perf_counter() - began, 2)


@cache
def loaded(folder: Path, device: str, sha256: str = "") -> load.Model:
    """The model of this process.

    :param sha256: of its files: what is in the folder now, and not what once was.
    """
    from spinalroots.compute.device import choose_device

    return load.load(folder, choose_device(device, "--device"))


def _current(folder: Path, stem: str, made_from: Mapping[str, Any]) -> bool:
    """Whether a record says that the results were made from the same, and all of them are there.

    More than is asked for now, such as surfaces, is no reason to do it again.
    """
    try:
        record = read_json(folder / f"{stem}_{outputs.RECORD}")
        before = record["made_from"]
        files = [entry["file"] for entry in record["outputs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    extra = {name for name in ("surfaces", "dicom_seg") if before.get(name) and not made_from[name]}
    same = {name: value for name, value in made_from.items() if name not in extra}
    return all(before.get(name, "") == value for name, value in same.items()) and all(
        (folder / name).is_file() for name in files
    )


def _describe(out: Path) -> None:
    """dataset_description.json of a BIDS derivative, once."""
    if (out / DESCRIPTION).is_file():
        return
    record = {
        "Name": "Spinal nerve roots found by spinalroots",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "spinalroots", "Version": __version__}],
    }
    with files_together(out, of="predict data set") as folder:
        write_json(folder / DESCRIPTION, record)


def summary(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many scans ended in each way, those that occur."""
    counts = dict.fromkeys((DONE, CURRENT, UNUSABLE, FAULT), 0)
    for outcome in outcomes:
        counts[outcome.status] += 1
    return {status: count for status, count in counts.items() if count}


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 all done, 1 a fault of the program, 2 a scan that could not be used."""
    found = summary(outcomes)
    return 1 if FAULT in found else 2 if UNUSABLE in found else 0


def report(
    path: Path, outcomes: Sequence[Outcome], left: Mapping[str, str], model: Path, seconds: float
) -> None:
    """Write the run as JSON: every scan with its end, what was left out and why."""
    write_json(
        path,
        {
            "spinalroots": __version__,
            "model": str(model),
            "seconds": round(seconds, 2),
            "exit_code": exit_code(outcomes),
            "counts": summary(outcomes),
            "scans": [asdict(outcome) for outcome in outcomes],
            "left_out": dict(left),
        },
    )
