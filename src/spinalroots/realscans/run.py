"""The edge: real scans, models and phantoms from files; table and pictures into a folder.

table.csv, table.json (every slice), table.md (for a page); SCAN_MODEL.png (scan, drawing,
prediction), SCAN_by-height.png, phantoms.png (phantoms beside a real scan); protocols.csv and
protocols.md, if asked for.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from spinalroots.dataset.layout import Dataset
from spinalroots.files import folder_in_one_piece, write_bytes, write_json, write_table, write_text
from spinalroots.imaging.centreline_mask import CORD as CORD_VALUE
from spinalroots.imaging.centreline_mask import from_masks
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.predict.load import Model
from spinalroots.predict.scan import segment
from spinalroots.realscans import figures, naming, protocols, reference, results
from spinalroots.realscans.naming import ROOTS
from spinalroots.realscans.reference import Reference
from spinalroots.realscans.results import Result
from spinalroots.registry.anatomy import Scheme


def read_references(folder: Path) -> list[Reference]:
    """Everything below `folder` that models can be held against.

    :raises InputError: as `naming.find` and `reference.read`.
    """
    found = naming.find(folder)
    names = [one.scan.relative_to(folder).as_posix() for one in found]
    return [
        reference.read(one, re.sub(r"\.nii(\.gz)?$", "", name))
        for one, name in zip(found, names, strict=True)
    ]


def short_names(folders: Sequence[Path]) -> list[str]:
    """A name a model's folder: as few of its last parts as tell it from the others.

    >>> short_names([Path("a/seed1/hardnet"), Path("a/seed2/hardnet")])
    ['seed1/hardnet', 'seed2/hardnet']
    """
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts), default=1)):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def score_models(
    references: Sequence[Reference], models: Iterable[tuple[str, Model]]
) -> list[Result]:
    """Run every model (name, model) on every scan."""
    scored = []
    for name, model in models:
        for one in references:
            found = segment(one.scan, model)
            scored.append(results.score(name, one, results.masks_of(found), found.centreline))
    return scored


def score_protocols(
    references: Sequence[Reference], models: Sequence[tuple[str, Model]]
) -> pd.DataFrame:
    """Run every model on every scan as other protocols would show it."""
    total = len(references) * len(models) * len(protocols.PROTOCOLS)
    shown = protocols.rows(references, models)
    return pd.DataFrame(list(tqdm(shown, "protocols", total, unit="scan")))


def write(
    out: Path, scored: Sequence[Result], phantoms: Path, changed: pd.DataFrame | None = None
) -> str:
    """Fill the folder `out`; the tables as text.

    :param phantoms: data set that a physical and a randomised phantom are taken from; it may be
        missing.
    :param changed: of :func:`score_protocols`.
    """
    rows = results.table(scored)
    text = results.markdown(rows)
    of_protocols = "" if changed is None else protocols.markdown(changed)
    with folder_in_one_piece(out) as folder:
        write_table(folder / "table.csv", rows, float_format="%.4f")
        write_json(folder / "table.json", [results.record(one) for one in scored])
        write_text(folder / "table.md", text)
        if changed is not None:
            write_table(folder / "protocols.csv", changed, float_format="%.4f")
            write_text(folder / "protocols.md", of_protocols)
        for one in scored:
            if one.reference.masks:
                name = f"{_plain(one.reference.name)}_{_plain(one.model)}.png"
                write_bytes(folder / name, figures.overlay(one))
        for name in dict.fromkeys(one.reference.name for one in scored):
            same = [r for r in scored if r.reference.name == name and ROOTS in r.scores]
            if same:
                picture = figures.by_height(same)
                write_bytes(folder / f"{_plain(name)}_by-height.png", picture)
        references = {one.reference.name: one.reference for one in scored}
        beside = list(_beside_phantoms(list(references.values()), Dataset(phantoms)))
        if len(beside) > 1:
            write_bytes(folder / "phantoms.png", figures.beside_phantoms(beside))
    return f"{text}\n{of_protocols}" if of_protocols else text


def _beside_phantoms(references: Sequence[Reference], data: Dataset) -> Iterator[figures.Shown]:
    """A real scan that shows the conus between a phantom of each look."""
    real = next((one for one in references if one.conus_z is not None), None)
    people = data.participants()
    if real is None or real.conus_z is None or "look" not in people:
        return
    looks = {look: case for case, look in reversed(list(people["look"].items()))}
    yield figures.shown("real", real.scan, real.middle, real.conus_z)
    for look, case in sorted(looks.items()):
        tissues = read_labels(data.labels(case, Scheme.TISSUES))
        cord = (tissues.data == CORD_VALUE).any(axis=(0, 1))
        if cord.any():
            scan, conus_z = read_image(data.image(case)), float(cord.argmax())
            yield figures.shown(f"{look} phantom", scan, from_masks(tissues), conus_z)


def _plain(name: str) -> str:
    """A name that is one part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.")
