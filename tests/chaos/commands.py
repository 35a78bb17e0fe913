"""What is killed: every stage, and the commands with which a person changes something."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab_scans import lab_folder
from workspace import Workspace

EXACT = {
    *("phantom", "check", "refine", "split", "augment", "centreline", "appearance"),
    *("prepare_nnunet", "anatomy_phantoms", "postprocess", "reconstruct", "ingest"),
    *("push", "pull"),
}
"""Bytes are promised (docs/reproducibility.md), or nothing is calculated at all."""
KEPT = {
    "augment": ".cache/augment",
    "train_nnunet": ".cache/nnunet",
    "tune_hardnet": ".cache/tune",
    "train_hardnet": ".cache/hardnet",
    "train_anatomy": ".cache/anatomy",
}
"""What a stage goes on from after a kill; gone before each try: all the work is to be done."""
MAKE = ["make", "-o", ".venv/.ready"]
"""With the environment taken as it is."""
SCORED = "hardnet-anatomy"


@dataclass
class Command:
    """`line` runs in `folder` and writes `outs`; `prepare` puts all the work before it.

    `seconds`, `changes`: how long a run takes and how many changes on disk it shows, as last seen.
    """

    name: str
    line: Sequence[str]
    folder: Path
    outs: Sequence[str]
    prepare: Callable[[], None] = lambda: None
    tidy: Callable[[], None] = lambda: None
    seconds: float = 0.0
    changes: int = 0
    watched: list[Path] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether the same bytes are promised."""
        return self.name.removesuffix(" (bin/stage)") in EXACT

    @property
    def stage(self) -> str:
        """The stage that this is, if it is one."""
        return self.name.removesuffix(" (bin/stage)")

    def __post_init__(self) -> None:
        places = [self.folder / out for out in self.outs]
        near = [self.folder, self.folder / ".dvc/tmp", self.folder / "dvc.lock"]
        self.changes = self.changes or len(self.outs) + 2
        self.watched = list({*places, *(path.parent for path in places), *near})


def stages(work: Workspace, took: dict[str, float]) -> list[Command]:
    """Every stage, by DVC and by hand."""
    found = []
    for name, outs in work.stages().items():
        prepare = _without(work.folder / KEPT[name]) if name in KEPT else lambda: None
        lines = {
            name: [*MAKE, "repro", f"ARGS=--single-item --force {name}"],
            f"{name} (bin/stage)": ["bin/stage", name],
        }
        found += [
            Command(title, line, work.folder, outs, prepare, seconds=took.get(name, 5.0))
            for title, line in lines.items()
        ]
    return found


def others(work: Workspace) -> list[Command]:
    """`ingest`, `predict`, `review`, `score`, push and pull."""
    root, remote = work.folder, work.beside / "remote"
    test = json.loads((root / "data/split.json").read_text(encoding="utf-8"))["test"]
    scans, lab, clone = work.beside / "scans", work.beside / "lab", work.beside / "clone"
    if not scans.exists():
        for case in test:
            for path in (root / "data/raw/phantom" / case / "anat").glob("*_T2w.nii.gz"):
                scans.mkdir(exist_ok=True)
                shutil.copy(path, scans / f"scan-{case}.nii.gz")
        for number in (1, 2):
            lab_folder(lab / f"patient{number}", seed=number)
    if not clone.exists():
        work.run("git", "clone", "-q", str(root), str(clone))
        (clone / ".venv").symlink_to(sys.prefix, target_is_directory=True)

    def forget_scores() -> None:
        work.run("git", "checkout", "-q", "data/expert_scores.csv")
        for name in ("data/review", "data/corrected"):
            shutil.rmtree(root / name, ignore_errors=True)

    def forget_ingested() -> None:
        shutil.rmtree(root / "data/raw/ingested", ignore_errors=True)
        (root / "data/raw/ingested.dvc").unlink(missing_ok=True)
        work.run("git", "checkout", "-q", "data/raw/.gitignore")

    def halve_remote() -> None:
        for path in sorted((remote / "files").rglob("*"))[::2]:
            if path.is_file():
                path.unlink()

    def empty_clone() -> None:
        shutil.rmtree(clone / ".dvc/cache", ignore_errors=True)
        for name in ("data", "models", "reports"):
            shutil.rmtree(clone / name, ignore_errors=True)
        work.run("git", "checkout", "-q", ".", folder=clone)

    score = ["spinalroots", "score", test[0], "--score", "0.8", "--rater", "AB"]
    reviewer = str(Path(__file__).with_name("reviewer.py"))
    review = [sys.executable, reviewer, f"data/postprocessed/{SCORED}"]
    out = root / "out"
    return [
        Command(
            "ingest",
            ["spinalroots", "ingest", str(lab)],
            root,
            ["data/raw/ingested", "data/raw/ingested.dvc"],
            forget_ingested,
            forget_ingested,
        ),
        Command(
            "predict",
            ["spinalroots", "predict", str(scans), "-o", "out"],
            root,
            ["out"],
            _without(out),
            _without(out),
        ),
        Command("score", score, root, ["data/expert_scores.csv"], forget_scores, forget_scores),
        Command(
            "review",
            review,
            root,
            ["data/expert_scores.csv", "data/corrected"],
            forget_scores,
            forget_scores,
        ),
        Command("push", [*MAKE, "push"], root, ["../remote"], halve_remote),
        Command("pull", [*MAKE, "pull"], clone, ["data", "models", "reports"], empty_clone),
    ]


def _without(folder: Path) -> Callable[[], None]:
    return lambda: shutil.rmtree(folder, ignore_errors=True)
