"""The data set's cases as HarDNet trains on them, and the hash that stands for them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.training_cases import training_cases
from spinalroots.errors import InputError
from spinalroots.files import read_json
from spinalroots.hardnet.data.patches import Case, read_case
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.imaging.centreline import Centreline
from spinalroots.registry.anatomy import Target
from spinalroots.settings.hardnet import Hardnet

REFINED, AUGMENTED = Path("data/refined"), Path("data/augmented")
BALANCE = AUGMENTED / "class_weights.json"
CENTRELINES, SPLIT = Path("data/centreline"), Path("data/split.json")


@dataclass(frozen=True)
class Source:
    """Where one annotated case lies."""

    dataset: Dataset
    name: str
    centreline: Path

    def files(self, target: Target) -> list[Path]:
        """The files that the case is read from."""
        found = [self.dataset.image(self.name), self.dataset.labels(self.name, target.scheme)]
        entity = self.dataset.labels(self.name, "entity")
        return [*found, *([entity] if entity.is_file() else []), self.centreline]


def sources(part: str, *, augmented: bool = False) -> list[Source]:
    """Cases of the split's `part` (`train`, `validation`, `test`), with their augmented variants.

    A variant belongs to its parent (its sidecar's `parent`), so nothing leaks between parts.
    """
    datasets = [Dataset(REFINED), *([Dataset(AUGMENTED)] if augmented else [])]
    return [
        Source(case.dataset, case.name, CENTRELINES / f"{case.name}.json")
        for case in training_cases(read_json(SPLIT)[part], datasets)
    ]


def class_weights(hardnet: Hardnet, target: Target) -> tuple[float, ...] | None:
    """Cross-entropy weights of the target's classes from the balance plan, if they are wanted."""
    if hardnet.class_weights == "none":
        return None
    if not BALANCE.is_file():
        raise InputError(
            BALANCE,
            expected="the balance plan's class weights",
            found="no such file",
            fix="Run `dvc repro augment`, or set hardnet.class_weights to none.",
        )
    planned = read_json(BALANCE)[str(target.scheme)]
    return (1.0, *(float(planned.get(str(value), 1.0)) for value in target.values))


def read_cases(
    found: list[Source], spec: InputSpec, target: Target, *, workers: int = 1
) -> list[Case]:
    """Read and straighten every source; one without a label map of the target is left out.

    :raises InputError: none is left, or a centreline is missing.
    """
    usable = [source for source in found if source.dataset.has(source.name, target.scheme)]
    if found and not usable:
        raise InputError(
            found[0].dataset.root,
            expected=f"cases with a {target.scheme} map",
            found="none",
            fix="Run `dvc repro refine`.",
        )
    read = delayed(_read)
    return Parallel(n_jobs=workers)(read(source, spec, target) for source in usable)


def _read(source: Source, spec: InputSpec, target: Target) -> Case:
    if not source.centreline.is_file():
        raise InputError(
            source.centreline,
            expected="the case's centreline",
            found="no such file",
            fix="Run `dvc repro centreline`.",
        )
    centreline = Centreline.read(source.centreline)
    return read_case(source.dataset, source.name, centreline, spec, target)


def fingerprint(found: list[Source], target: Target, /, **settings) -> str:
    """Hash of the files' contents and of `settings`: names the folder of resumable work."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for source in found:
        for path in source.files(target):
            digest.update(source.name.encode())
            digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:16]
