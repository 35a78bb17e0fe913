"""One patient's scan as files: what `spinalroots predict` reads, and what it leaves in a folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spinalroots.dataset import label_tables
from spinalroots.dataset.layout import ALL_ROOTS, LABEL_SUFFIX
from spinalroots.errors import InputError
from spinalroots.files import files_together, require_free, sha256, write_bytes, write_json
from spinalroots.imaging.anchors import Anchor, inside, read_discs, require_inside
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, write_probability, write_volume
from spinalroots.predict import naming
from spinalroots.predict.load import Model
from spinalroots.predict.scan import Segmentation, segment
from spinalroots.registry.anatomy import ROOT_TISSUE, Scheme

SMALLEST_MM = 20.0
"""Extent of a scan along each axis."""
Draw = Callable[[Volume, Volume, Centreline], bytes]
"""Scan, level map and centreline → PNG."""


def predict_file(
    scan_path: Path,
    out: Path,
    load: Callable[[], Model],
    draw: Draw,
    *,
    anchors: Sequence[Anchor] = (),
    discs: Path | None = None,
) -> list[str]:
    """Segment one scan and write masks, label tables, maps, a JSON and a picture.

    Everything is computed first; then all files appear at once, beside what else is there. A mask
    that was corrected since an earlier run, or that was made of another scan, stops the run at its
    beginning.

    :param load: gives the model, once it is clear that scan and folder can be used.
    :param anchors: discs in the scan that level names are to rest on.
    :param discs: a disc label file with more of them; those outside the scan are left out.
    :return: what a person should hear at once.
    :raises InputError: the scan, the folder, the discs or the model cannot be used.
    """
    _require_writable(Path(out))
    stem = Path(scan_path).name.removesuffix(".gz").removesuffix(".nii")
    scan = read_image(scan_path)
    _require_extent(scan_path, scan)
    require_inside(anchors, scan.grid)
    seen = _in_scan(discs, scan) if discs else ()
    source = f"predict {Path(scan_path).name} {sha256(scan_path)}"
    require_free(
        out,
        [f"{stem}_{suffix}.nii.gz" for suffix in (*LABEL_SUFFIX.values(), ALL_ROOTS)],
        of=source,
    )
    model = load()
    found = segment(scan, model, (*anchors, *seen))
    record = {"scan": Path(scan_path).name, "grid": str(scan.native), **found.record}
    with files_together(out, of=source) as folder:
        _write_maps(folder / stem, scan, found)
        found.centreline.write(folder / f"{stem}_centreline.json")
        write_json(folder / f"{stem}_prediction.json", record)
        picture = draw(scan, found.maps[Scheme.LEVELS], found.centreline)
        write_bytes(folder / f"{stem}_preview.png", picture)
    told = [f"The network ran, and not its export: {model.refused}"] if model.refused else []
    return [*told, naming.told(found.record["naming"])]


def _in_scan(discs: Path, scan: Volume) -> tuple[Anchor, ...]:
    """The discs of a label file that lie in the scan."""
    found = read_discs(discs)
    seen = [one for one, within in zip(found, inside(found, scan.grid), strict=True) if within]
    if not seen:
        raise InputError(
            discs,
            expected="discs that lie in the scan, in scanner coordinates",
            found=f"{', '.join(one.disc for one in found)} outside of it",
            fix="Give the disc labels of this scan, or of one of the same session.",
        )
    return tuple(seen)


def _write_maps(stem: Path, scan: Volume, found: Segmentation) -> None:
    """Masks with their label tables, root probability and uncertainty, on the scan's own grid."""
    for scheme, labels in found.maps.items():
        path = stem.with_name(f"{stem.name}_{LABEL_SUFFIX[scheme]}")
        write_volume(path.with_name(f"{path.name}.nii.gz"), labels, native=scan.native)
        if scheme is not Scheme.ENTITY:
            label_tables.write_all(path, scheme)
    if Scheme.TISSUES in found.maps:
        tissues = found.maps[Scheme.TISSUES]
        mask = tissues.with_data((tissues.data == ROOT_TISSUE).astype(np.uint8))
        write_volume(stem.with_name(f"{stem.name}_{ALL_ROOTS}.nii.gz"), mask, native=scan.native)
    for suffix, values in (
        ("desc-foreground_probseg", found.prediction.foreground),
        ("desc-uncertainty_map", found.prediction.uncertainty),
    ):
        if values is not None:
            path = stem.with_name(f"{stem.name}_{suffix}.nii.gz")
            write_probability(path, values, native=scan.native)


def _require_writable(out: Path) -> None:
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(
            out,
            expected="a folder that can be written to",
            found=f"{place} is a file" if not place.is_dir() else f"{place} is read-only",
            fix="Give another folder.",
        )


def _require_extent(path: Path, scan: Volume) -> None:
    extent = scan.spacing_mm * np.array(scan.data.shape)
    if extent.min() < SMALLEST_MM or float(scan.data.max()) <= float(scan.data.min()):
        raise InputError(
            path,
            expected=f"a scan of at least {SMALLEST_MM:g} mm along every axis, with contrast",
            found=f"{extent[0]:.0f} × {extent[1]:.0f} × {extent[2]:.0f} mm, "
            f"values {scan.data.min():g} to {scan.data.max():g}",
            fix="Give a T2 scan that contains the spinal canal.",
        )
