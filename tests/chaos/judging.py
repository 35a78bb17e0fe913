"""Whether a folder is as an undisturbed run leaves it, with no trace of the kill."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

MEASURED = re.compile(
    r"second|_s($|_)|energy|kwh|co2|emission|duration|memory|peak|time|date|megavoxels|speed"
    r"|run_id|version|journal|created|^key$|^code$|^trial$|^recommended$|^validation_dice",
    re.IGNORECASE,
)
"""Keys and columns of what was measured or stamped: no run repeats them.

The numbers of trials count those that were killed. Of equally small exports the fastest is
recommended, and only what comes into question is judged on validation cases."""
OURS = {".spinalroots", ".gitignore"}
"""Hidden files that belong where they are."""


def files(root: Path, outs: Iterable[str]) -> dict[str, bytes]:
    """Relative path → SHA-256 of every file of the outputs."""
    found = {}
    for out in outs:
        top = root / out
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file():
                name = path.relative_to(root).as_posix()
                found[name] = hashlib.sha256(path.read_bytes()).digest()
    return found


def kept(root: Path, names: Iterable[str], aside: Path) -> None:
    """Copy the files that may differ in measured figures, to be compared later."""
    for name in names:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (aside / name).write_bytes((root / name).read_bytes())


def differences(
    root: Path, before: dict[str, bytes], aside: Path, outs: Iterable[str], exact: bool
) -> list[str]:
    """What the outputs have otherwise than an undisturbed run's.

    :param exact: the same bytes are promised; else labels, tables and records without their
        measured figures, and of all other files that they are there.
    """
    now = files(root, outs)
    found = [f"missing: {name}" for name in before.keys() - now.keys()]
    found += [f"too much: {name}" for name in now.keys() - before.keys()]
    for name in before.keys() & now.keys():
        if now[name] != before[name] and (exact or not _alike(root / name, aside / name)):
            found.append(f"differs: {name}")
    return found


def _alike(one: Path, other: Path) -> bool:
    if one.name == "recommended.json":
        return json.loads(one.read_text()).keys() == json.loads(other.read_text()).keys()
    if one.suffix == ".json":
        return _told(json.loads(one.read_text())) == _told(json.loads(other.read_text()))
    if one.suffix in {".csv", ".tsv"}:
        return _rows(one) == _rows(other)
    if one.name.endswith(".nii.gz"):
        first, second = nib.load(one), nib.load(other)
        return np.array_equal(first.dataobj, second.dataobj) and np.array_equal(
            first.affine, second.affine
        )
    if one.name == ".spinalroots":
        return _names(one) == _names(other)
    return one.stat().st_size > 0


def _names(path: Path) -> set[str]:
    return {json.loads(line)["file"] for line in path.read_text().splitlines() if line}


def _told(value):
    if isinstance(value, dict):
        return {key: _told(part) for key, part in value.items() if not MEASURED.search(key)}
    return [_told(part) for part in value] if isinstance(value, list) else value


def _rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        return [{k: v for k, v in row.items() if not MEASURED.search(k or "")} for row in rows]


def leftovers(root: Path, outs: Iterable[str]) -> list[str]:
    """Hidden, partial and lock files in the outputs and the folders that they lie in."""
    found = set()
    for top in {root / out for out in outs}:
        inside = [*top.rglob("*")] if top.is_dir() else []
        beside = top.parent.iterdir() if top.parent != root else root.glob(".spinalroots*")
        for path in {*inside, *beside}:
            hidden = path.name.startswith(".") and path.name not in OURS
            if hidden or path.suffix in {".part", ".tmp", ".lock"}:
                found.add(f"left behind: {path.relative_to(root).as_posix()}")
    return sorted(found)


def locks(root: Path) -> list[str]:
    """Locks of DVC and MLflow that are still held, or say so."""
    found = []
    for name in (".dvc/tmp/lock", ".dvc/tmp/rwlock.lock", "mlflow.db.lock"):
        if (path := root / name).is_file():
            with path.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    found.append(f"held: {name}")
    path = root / ".dvc/tmp/rwlock"
    if path.is_file():
        try:
            left = json.loads(path.read_text())
        except ValueError:
            left = {"unreadable": path.read_text()}
        if any(left.values()):
            found.append(f"held: .dvc/tmp/rwlock {left}")
    return found


def runs(root: Path) -> dict[str, tuple[str, str, dict[str, list[int]]]]:
    """MLflow's trainings: id → model, status, steps of each curve (the machine's left out)."""
    path = root / "mlflow.db"
    if not path.is_file():
        return {}
    with sqlite3.connect(path) as store:
        trainings = dict(
            store.execute(
                "select r.run_uuid, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
                "where t.key = 'kind' and t.value = 'training'"
            )
        )
        names = dict(store.execute("select run_uuid, name from runs"))
        unnamed = [
            one
            for (one,) in store.execute(
                "select run_uuid from runs where run_uuid not in "
                "(select run_uuid from tags where key = 'kind')"
            )
        ]
        curves: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for run, key, step in store.execute(
            "select run_uuid, key, step from metrics where key not like 'system/%' order by step"
        ):
            curves[run][key].append(step)
    told = {one: (names[one], status, dict(curves[one])) for one, status in trainings.items()}
    return told | {one: ("without a kind", "", {}) for one in unnamed}


def trainings(root: Path, known: set[str], reference: dict[str, dict[str, list[int]]]) -> list[str]:
    """What MLflow's new trainings have otherwise than one finished run each, without a gap.

    :param known: runs that were there before.
    :param reference: of each model the steps of its curves, undisturbed.
    """
    new = {one: told for one, told in runs(root).items() if one not in known}
    count = Counter(name for name, _, _ in new.values())
    found = [f"MLflow: {count[name]} runs of {name}" for name in reference if count[name] != 1]
    found += [f"MLflow: a run {name}" for name in count if name not in reference]
    for name, status, curves in new.values():
        if status not in ("FINISHED", ""):
            found.append(f"MLflow: {name} is {status}")
        if name in reference:
            wanted = reference[name]
            found += [
                f"MLflow: {name}, {key} has steps {curves.get(key, [])}, not {steps}"
                for key, steps in wanted.items()
                if curves.get(key, []) != steps
            ]
    return found


def raw(root: Path) -> str:
    """One digest of all raw data."""
    digest = hashlib.sha256()
    for name, content in sorted(files(root, ["data/raw/phantom", "data/truth"]).items()):
        digest.update(name.encode() + content)
    return digest.hexdigest()
