"""Sections about how the results came about: data, training, exports, surfaces, parameters."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from spinalroots.pictures import data_uri
from spinalroots.reconstruct.accuracy import summary as reconstruction_accuracy
from spinalroots.registry import paths
from spinalroots.report import paper
from spinalroots.report.blocks import (
    Folded,
    Picture,
    Table,
    Text,
    cell,
    missing,
    needed,
    number,
    percent,
    section,
)
from spinalroots.report.inputs import Inputs

_CAPTIONS = {
    "refinement.png": "Cases with each root before and after refinement; Dice if truth is known.",
    "class_distribution.png": "Figure 2. Voxels per root before and after pre-processing and "
    "augmentation.",
    "augmentation_sheet.png": "Training cases (left), and what augmentation made of them.",
    "slices.png": "Figure 3. Squares cut out around the centreline: what HarDNet sees.",
    "quantization.png": "Size, time and Dice of every export.",
}


@section("data", "The data")
def data(inputs: Inputs, sources: dict[str, str]) -> Iterator:
    """Which cases were used, and what was done to them before training."""
    split = inputs.json(paths.SPLIT)
    yield missing("split", "split") if split is None else _split_table(split, sources)
    yield _check(inputs)
    yield from pictures(
        inputs, "refine", "picture of the refinement", paths.FIGURES, "refinement*.png"
    )
    refinement = inputs.table(paths.TABLE_REFINEMENT)
    if refinement is not None:
        caption = "Dice against the truth, which only synthetic cases have; voxels of all cases."
        yield Folded("Refinement, root by root", [table_of(refinement, caption)])
    yield from pictures(
        inputs, "augment", "picture of the augmentation", paths.FIGURES, "augmentation*.png"
    )
    lines = inputs.table(paths.TABLE_CENTRELINE)
    if lines is not None:
        caption = "How far the centreline found in the image alone is from the true one, in mm."
        yield Folded("Centreline, case by case", [table_of(lines, caption)])


def class_distribution(inputs: Inputs) -> list:
    """Figure 2."""
    what = "picture of the class distribution"
    return pictures(inputs, "augment", what, paths.FIGURES, "class_distribution*.png")


def slices(inputs: Inputs) -> list:
    """Figure 3."""
    return pictures(inputs, "centreline", "slices", paths.FIGURES, "slices*.png")


def _check(inputs: Inputs) -> Text:
    """What the check of the raw data found, counted."""
    record = inputs.json(paths.CHECK)
    if record is None:
        return missing("check of the raw data", "check")
    kinds = record.get("findings_by_kind", {})
    found = ", ".join(f"{kind} ({count})" for kind, count in kinds.items()) or "nothing"
    return Text(
        f"The check of {record.get('cases')} raw cases found: {found}. "
        f"`{paths.CHECK_PAGE}` tells more."
    )


def _split_table(split: dict[str, list[str]], sources: dict[str, str]) -> Table:
    rows = []
    for part in ("train", "validation", "test"):
        names = split.get(part, [])
        origins = [sources.get(name) for name in names]
        counts = (len(names), origins.count("phantom"), origins.count("ingested"))
        rows.append((part, *map(str, counts), ", ".join(names)))
    caption = "Cases are split by subject; nothing made from a test case is ever trained on."
    return Table(("Part", "Cases", "Synthetic", "Real", "Names"), rows, caption)


@section("quantization", "Smaller and faster")
def quantization(inputs: Inputs) -> Iterator:
    """Table II."""
    table = needed(inputs.table(paths.TABLE_QUANTIZATION), "comparison of exports", "quantize")
    yield table_of(table, "Size, time and Dice, measured on this machine.")
    yield from pictures(
        inputs, "quantize", "picture of the exports", paths.FIGURES, "quantization*.png"
    )
    printed = Table(
        ("Model", "Precision", "MB", "Seconds", "Binary Dice"),
        [tuple(map(str, row)) for row in paper.TABLE_TWO],
        "The paper's Table II: another network, another machine, patients.",
    )
    yield Folded("The paper's own", [printed])


@section("reconstruction", "In three dimensions")
def reconstruction(inputs: Inputs) -> Iterator:
    """What was measured on the roots against the truth, and the first picture of the surfaces;
    every case's own page has its picture."""
    table = inputs.table(paths.TABLE_RECONSTRUCTION)
    if table is not None:
        yield _against_truth(table)
    first, *others = pictures(
        inputs, "reconstruct", "reconstruction", paths.RECONSTRUCTION, "*/roots.png"
    )
    yield first
    if others:
        cases = "case" if len(others) == 1 else "cases"
        yield Text(f"The same of {len(others)} more test {cases}: on the pages linked above.")


def _against_truth(table: pd.DataFrame) -> Table:
    rows = [
        (
            row["masks"],
            f"{row['found']} of {row['roots']}",
            percent(row["length_error"]),
            f"{number(row['diameter_error_mm'], 2)} mm, {percent(row['diameter_error'])}",
            percent(row["surface_to_mask"]),
            percent(row["mask_to_truth"]),
            percent(row["entry_level_right"]),
            f"{number(row['aside_median_mm'], 2)} mm",
        )
        for row in reconstruction_accuracy(table).to_dict("records")
    ]
    headers = (
        *("Masks", "Roots found", "Length off", "Diameter off", "Surface to mask"),
        *("Mask to true volume", "Entry level right", "Off the true course"),
    )
    caption = (
        "Medians over the dorsal roots T10 to S3 of the synthetic test cases, against their true "
        "courses. From true masks: the error of the reconstruction, and of masks made of voxels; "
        f"from predicted ones that of the model too. Root by root: `{paths.TABLE_RECONSTRUCTION}`."
    )
    return Table(headers, rows, caption)


@section("parameters", "Parameters")
def parameters(values: dict) -> Iterator:
    """Everything that was set, section by section."""
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    yield Text("The values in force, the scale's budgets filled in.")
    yield Folded("params.yaml as it was used", [Text(text, "source")])


def table_of(table: pd.DataFrame, caption: str = "", most: int = 60) -> Table:
    """A CSV as it is, the first `most` rows."""
    rows = [tuple(cell(value) for value in row) for row in table.head(most).itertuples(index=False)]
    if len(table) > most:
        caption = f"{caption} The first {most} of {len(table)} rows.".strip()
    headers = tuple(str(name).replace("_", " ") for name in table.columns)
    return Table(headers, rows, caption)


def pictures(inputs: Inputs, stage: str, what: str, folder: Path, *patterns: str) -> list:
    """The image files of a folder that match, or the line that says which stage makes them."""
    files = inputs.files(folder, *patterns)
    if not files:
        return [missing(what, stage)]
    return [
        Picture(data_uri(path.read_bytes()), _CAPTIONS.get(path.name, _caption(path)))
        for path in files
    ]


def _caption(path: Path) -> str:
    """A caption made from a file's name, its folder named where that tells the case."""
    words = path.stem.replace("_", " ").replace("-", " ").strip()
    if path.name == "roots.png":
        words = "surfaces of the predicted roots"
    inside = path.parent.name if path.parent.name.startswith("sub-") else ""
    return f"{inside}: {words}." if inside else words[:1].upper() + words[1:] + "."
