"""Label tables for the tools that a person opens a mask with: ITK-SNAP, 3D Slicer, and BIDS."""

from __future__ import annotations

from pathlib import Path

from spinalroots.files import write_text
from spinalroots.registry.anatomy import Scheme, label_colour, label_names


def bids(scheme: Scheme | str, only: set[int] | None = None) -> str:
    """BIDS look-up table (tab-separated index, name, color) of a scheme's values, or of `only`."""
    rows = ["index\tname\tcolor"]
    for value, name, (red, green, blue) in _entries(scheme, only):
        rows.append(f"{value}\t{name}\t#{red:02x}{green:02x}{blue:02x}")
    return "\n".join(rows) + "\n"


def itksnap(scheme: Scheme | str, only: set[int] | None = None) -> str:
    """ITK-SNAP label descriptions (Segmentation › Import Label Descriptions).

    Columns: index, red, green, blue, opacity, visible, mesh visible, name.
    """
    rows = ['0 0 0 0 0 0 0 "Clear Label"']
    for value, name, (red, green, blue) in _entries(scheme, only):
        rows.append(f'{value} {red} {green} {blue} 1 1 1 "{name}"')
    return "\n".join(rows) + "\n"


def slicer(scheme: Scheme | str, only: set[int] | None = None) -> str:
    """3D Slicer colour table (.ctbl): index, name, red, green, blue, opacity 0..255."""
    rows = ["# 3D Slicer color table", "0 background 0 0 0 0"]
    for value, name, (red, green, blue) in _entries(scheme, only):
        rows.append(f"{value} {name} {red} {green} {blue} 255")
    return "\n".join(rows) + "\n"


def write_all(stem: Path, scheme: Scheme | str, only: set[int] | None = None) -> list[Path]:
    """Write `<stem>.tsv`, `<stem>_itksnap.txt` and `<stem>.ctbl`; return their paths."""
    stem = Path(stem)
    written = {
        stem.with_name(f"{stem.name}.tsv"): bids(scheme, only),
        stem.with_name(f"{stem.name}_itksnap.txt"): itksnap(scheme, only),
        stem.with_name(f"{stem.name}.ctbl"): slicer(scheme, only),
    }
    for path, text in written.items():
        write_text(path, text)
    return list(written)


def _entries(scheme: Scheme | str, only: set[int] | None):
    for value, name in label_names(scheme).items():
        if only is None or value in only:
            yield value, name, label_colour(scheme, value)
