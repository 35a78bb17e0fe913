"""Label tables for the tools that a person opens a mask with: ITK-SNAP, 3D Slicer, and BIDS."""

from pathlib import Path

from spinalroots.files import write_text
from spinalroots.registry.anatomy import Scheme, label_colour, label_names


def bids(scheme: Scheme | str) -> str:
    """BIDS look-up table (tab-separated index, name, color)."""
    return _table(scheme, "index\tname\tcolor", "{value}\t{name}\t#{red:02x}{green:02x}{blue:02x}")


def itksnap(scheme: Scheme | str) -> str:
    """ITK-SNAP label descriptions (Segmentation › Import Label Descriptions).

    Columns: index, red, green, blue, opacity, visible, mesh visible, name.
    """
    clear = '0 0 0 0 0 0 0 "Clear Label"'
    return _table(scheme, clear, '{value} {red} {green} {blue} 1 1 1 "{name}"')


def slicer(scheme: Scheme | str) -> str:
    """3D Slicer colour table (.ctbl): index, name, red, green, blue, opacity 0..255."""
    head = "# 3D Slicer color table\n0 background 0 0 0 0"
    return _table(scheme, head, "{value} {name} {red} {green} {blue} 255")


def write_all(stem: Path, scheme: Scheme | str) -> None:
    """Write `<stem>.tsv`, `<stem>_itksnap.txt` and `<stem>.ctbl`."""
    for ending, table in ((".tsv", bids), ("_itksnap.txt", itksnap), (".ctbl", slicer)):
        write_text(stem.with_name(f"{stem.name}{ending}"), table(scheme))


def _table(scheme: Scheme | str, head: str, row: str) -> str:
    rows = [head]
    for value, name in label_names(scheme).items():
        red, green, blue = label_colour(scheme, value)
        rows.append(row.format(value=value, name=name, red=red, green=green, blue=blue))
    return "\n".join(rows) + "\n"
