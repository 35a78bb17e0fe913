"""The goals of `make bench`, and the table of which were met. Nothing fails over a goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A row of the table: which `record` of the report it rests on, and the least ratio.

    `shown`: the goal in words, where a ratio is not what a person asks for.
    """

    work: str
    against: str
    record: str
    least: float
    shown: str = ""


# `make repro` is timed by hand (docs/results.md): no benchmark installs anything.
GOALS = (
    Goal(
        "whole scan, recommended export, start-up included",
        "nnU-Net ResEncM, PyTorch fp32, as planned for it",
        "predict: whole scan against ResEncM, start-up included",
        20,
    ),
    Goal(
        "the same without start-up",
        "the same",
        "predict: whole scan against ResEncM, without start-up",
        60,
    ),
    Goal(
        "int8 or bf16 export of hardnet-anatomy, Dice loss ≤ 0.002",
        "PyTorch fp32 of the same",
        "exports: hardnet-anatomy",
        2.5,
    ),
    Goal(
        "int8 or bf16 export of nnunet-all-levels, Dice loss ≤ 0.002",
        "PyTorch fp32 of the same",
        "exports: nnunet-all-levels",
        2.5,
    ),
    Goal("flood fill 384×384×300", "skimage watershed, whole grid", "flood_fill", 130),
    Goal("flood fill 384×384×300", "skimage watershed with its mask", "flood_fill: mask", 8),
    Goal(
        "HarDNet training step at the default",
        "all switches off",
        "hardnet: training step, default, speed",
        1.5,
    ),
    Goal(
        "its memory",
        "all switches off",
        "hardnet: training step, default, memory",
        1.0,
        "not more",
    ),
    Goal("augmentation, two processes", "one", "augment: two processes", 1.8),
    Goal("make repro, bare clone, install included", "15 min", "make repro", 1.0, "≤ 15 min"),
    Goal("no-op dvc repro", "5 s", "commands: no-op dvc repro", 1.0, "≤ 5 s"),
    Goal("spinalroots --help", "0.2 s", "commands: --help", 1.0, "≤ 0.2 s"),
)


def table(report: dict) -> list[dict]:
    """The goals with what was measured; `met` is None where nothing was."""
    rows = []
    for goal in GOALS:
        found = report.get(goal.record)
        rows.append(
            {
                "work": goal.work,
                "against": goal.against,
                "goal": goal.shown or f"≥ {goal.least:g}×",
                "ratio": found and round(found["ratio"], 2),
                "met": found and bool(found["ratio"] >= goal.least),
            }
        )
    return rows


def printed(rows: list[dict]) -> str:
    """The table for a terminal."""
    words = {True: "met", False: "not met", None: "not measured"}
    lines = [("work", "against", "goal", "ratio", "")]
    for row in rows:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        lines.append((row["work"], row["against"], row["goal"], ratio, words[row["met"]]))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
