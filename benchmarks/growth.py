"""`python -m benchmarks.growth`: memory and time of the data stages over the number of cases.

Five phantoms of smoke size, shrunk by coarser voxels, stand for any number; only `phantom` makes
every one, and a tenth of the number. Every stage runs in a fresh process without workers, so that
its peak resident memory is all that it takes. Apart from `make bench`: it takes fifteen minutes of
processor time. `python -m benchmarks.growth 6 12` takes other numbers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml

import spinalroots
from benchmarks import _stage
from spinalroots.dataset.layout import Dataset
from spinalroots.files import write_bytes, write_json, write_table
from spinalroots.phantom.dataset import case_name

CASES = (30, 100, 300)
DIFFERENT = 5
TABLE, FIGURE = Path("docs/scaling.csv"), Path("docs/img/scaling.png")
TRAINING, TEST = "training", "test"
STAGES = {
    "phantom": ("phantom", "", TRAINING),
    "refine": ("refine", "", TRAINING),
    "augment": ("augment", "", TRAINING),
    "centreline": ("centreline", "", TRAINING),
    "appearance": ("appearance", "", TRAINING),
    "prepare": ("prepare_nnunet", "all-levels", TRAINING),
    "training data, anatomy": ("train_anatomy", "", TRAINING),
    "training data, HarDNet": ("train_hardnet", "", TRAINING),
    "predict": ("predict_hardnet", "", TEST),
    "postprocess": ("postprocess", "", TEST),
    "evaluate": ("evaluate", "", TEST),
}
"""What the table calls it → stage, row, and what all cases but two are for it."""
MADE_ANEW = 10
"""The stage `phantom` makes every case, which takes long: it makes as many times fewer."""
ROOT = Path(spinalroots.__file__).parents[2]


def main(numbers: tuple[int, ...]) -> int:
    """Measure, and write table and figure."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        write_parameters(base, DIFFERENT)
        run(base, "phantom")
        run(base, "anatomy_phantoms")
        projects = {number: Path(folder) / str(number) for number in numbers}
        for number, project in projects.items():
            write_parameters(project, number)
            repeat(base, project, number)
        for name, (stage, row, part) in STAGES.items():
            for number, project in projects.items():
                place, cases = project, number
                if stage == "phantom":
                    place, cases = Path(folder) / "anew" / str(number), max(1, number // MADE_ANEW)
                    write_parameters(place, cases)
                if (project / "data/refined").is_dir():
                    split(project, part)
                found = run(place, stage, *filter(None, [row]))
                rows.append({"stage": name, "cases": cases, **found})
                print(f"{name}, {cases}: {found}", flush=True)
            table = pd.DataFrame(rows)
            write_table(ROOT / TABLE, table, "%.2f")
    write_bytes(ROOT / FIGURE, figure(table))
    print(summary(table).to_string(index=False))
    return 0


def write_parameters(project: Path, number: int) -> None:
    """As many phantoms and half as many variants, and hardly a step of training."""
    shutil.copytree(ROOT / "conf", project / "conf")
    own = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    own.update(scale="smoke", workers=1)
    own["phantom"].update(
        cases=number, in_plane_mm=[2.0, 2.1], slice_mm=[4.0, 4.2], randomised_share=0.0, subvoxels=1
    )
    own["augment"].update(variants=number // 2, target_ratio=1.0)
    own["anatomy"].update(phantoms=number, steps=2, naming_steps=2)
    own["hardnet"].update(epochs=1, epoch_megavoxels=0.02)
    (project / "params.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")


def repeat(base: Path, project: Path, number: int) -> None:
    """The phantoms of `base` under other names, one after the other, until there are so many."""
    for index in range(number):
        old, new = case_name(index % DIFFERENT), case_name(index)
        for part in ("data/raw/phantom", "data/truth"):
            for path in (base / part).rglob(f"{old}*"):
                if path.is_file():
                    place = str(path.relative_to(base)).replace(old, new)
                    (project / place).parent.mkdir(parents=True, exist_ok=True)
                    os.link(path, project / place)
        slices = project / "data/anatomy/slices"
        slices.mkdir(parents=True, exist_ok=True)
        drawn = sorted((base / "data/anatomy/slices").iterdir())[index % DIFFERENT]
        os.link(drawn, slices / f"{index:06d}.npz")
    table = Dataset(base / "data/raw/phantom").participants()
    rows = table.loc[[case_name(index % DIFFERENT) for index in range(number)]]
    rows.index = pd.Index([case_name(index) for index in range(number)])
    Dataset(project / "data/raw/phantom").write_description("repeated", rows)


def split(project: Path, part: str) -> None:
    """All cases but two are of the `part`."""
    cases = sorted(path.name for path in (project / "data/refined").glob("sub-*"))
    few, many = (cases[:1], cases[2:])
    parts = {"train": many, "validation": cases[1:2], "test": few}
    if part == TEST:
        parts |= {"train": few, "test": many}
    write_json(project / "data/split.json", parts)


def run(project: Path, *stage: str) -> dict[str, float]:
    """Figures of a stage on one thread, in a process of its own."""
    return _stage.run(project, *stage, OMP_NUM_THREADS="1")


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A stage a row: peak memory and seconds a case by number of cases, and their growth."""
    rows = []
    for name, own in table.groupby("stage", sort=False):
        own = own.sort_values("cases")
        few, many = own.iloc[0], own.iloc[-1]
        slope = (many.cpu_s - few.cpu_s) / (many.cases - few.cases)
        line = few.cpu_s + slope * (own.cases - few.cases)
        rows.append(
            {
                "stage": name,
                "cases": ", ".join(map(str, own.cases)),
                "MB": ", ".join(f"{peak:.0f}" for peak in own.peak_mb),
                "memory": f"{many.peak_mb / few.peak_mb - 1:+.0%}",
                "s a case": round(slope, 2),
                "off the line": f"{((own.cpu_s - line).abs() / line).max():.0%}",
            }
        )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> bytes:
    """Peak memory and processor time over the number of cases, a line a stage."""
    import matplotlib

    from spinalroots import pictures

    drawing = pictures.new_figure(10, 4.2)
    memory, seconds = drawing.subplots(1, 2)
    for axes in (memory, seconds):
        axes.set_prop_cycle(color=matplotlib.colormaps["tab20"].colors)
    for name, own in table.groupby("stage", sort=False):
        memory.plot(own.cases, own.peak_mb, marker="o", ms=4)
        seconds.plot(own.cases, own.cpu_s, marker="o", ms=4, label=name)
    memory.set(xlabel="cases", ylabel="peak resident memory (MB)", ylim=(0, None))
    seconds.set(xlabel="cases", ylabel="processor time (s)", ylim=(0, None))
    for axes in (memory, seconds):
        axes.grid(alpha=0.3)
    drawing.legend(loc="outside right center", fontsize=8, frameon=False)
    return pictures.png(drawing)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=main.__doc__)
    parser.add_argument("cases", nargs="*", type=int, default=CASES, help="default: 30 100 300")
    sys.exit(main(tuple(parser.parse_args().cases)))
