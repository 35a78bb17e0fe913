"""One patient's scan as files: what `spinalroots predict` reads, and what it leaves in a folder."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinalroots.dataset import label_tables
from spinalroots.dataset.layout import ALL_ROOTS, FOREGROUND, LABEL_SUFFIX
from spinalroots.errors import InputError, require_file
from spinalroots.files import files_together, require_free, sha256, write_bytes, write_json
from spinalroots.files.listing import names
from spinalroots.imaging.anchors import Anchor, inside, read_discs, require_inside
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.opening import stem_of
from spinalroots.imaging.volume import Volume, write_probability, write_volume
from spinalroots.inference import doubt
from spinalroots.inference.predictor import Prediction
from spinalroots.ingest.dicom_stacks import Slice
from spinalroots.predict import naming, outputs
from spinalroots.predict.load import Model
from spinalroots.predict.scan import Segmentation, segment
from spinalroots.predict.sources import Source
from spinalroots.registry.anatomy import ROOT_TISSUE, Scheme

SMALLEST_MM = 20.0
"""Extent of a scan along each axis."""
Draw = Callable[[Volume, Volume, Centreline], bytes]
"""Scan, level map and centreline → PNG."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for besides the masks.

    `anchors`: discs in the scan that level names are to rest on; `discs`: a disc label file with
    more of them, those outside the scan are left out; `orientation`: how the voxel axes really run;
    `surfaces`: the 3D model too; `dicom_seg`: a DICOM segmentation, of a DICOM scan.
    """

    anchors: tuple[Anchor, ...] = ()
    discs: Path | None = None
    orientation: str | None = None
    surfaces: bool = False
    dicom_seg: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values that change when a result would."""
        return {
            "anchors": sorted(f"{one.disc}={list(map(float, one.ras_mm))}" for one in self.anchors),
            "discs_sha256": sha256(_discs(self.discs)) if self.discs else None,
            "orientation": self.orientation,
            "surfaces": self.surfaces,
            "dicom_seg": self.dicom_seg,
        }


@dataclass(frozen=True)
class Read:
    """A scan that can be used, and a folder that takes its results."""

    source: Source
    folder: Path
    of: str
    scan: Volume
    slices: tuple[Slice, ...]
    anchors: tuple[Anchor, ...]


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
    source = Source(Path(scan_path), stem_of(Path(scan_path).name))
    wanted = Wanted(tuple(anchors), discs)
    checked = read(source, out, wanted)
    found = segment(checked.scan, load(), checked.anchors)
    return told(write(checked, found, draw, wanted))


def read(source: Source, out: Path, wanted: Wanted, digest: str | None = None) -> Read:
    """Read a scan, and see that its results can be written: all that may fail early.

    :param digest: SHA-256 of the source, where it is known.
    :raises InputError: the scan, the folder or the discs cannot be used.
    """
    folder = Path(out) / source.folder
    _require_writable(folder)
    scan, slices = source.read(wanted.orientation)
    require_extent(source.path, scan)
    if wanted.dicom_seg and not slices:
        raise InputError(
            source.path,
            expected="a DICOM series, whose instances the segmentation names",
            found="a file of another format",
            fix="Leave --dicom-seg out, or give the DICOM folder.",
        )
    require_inside(wanted.anchors, scan.grid)
    seen = _in_scan(wanted.discs, scan) if wanted.discs else ()
    of = f"predict {source.name} {digest or source.sha256()}"
    suffixes = (*LABEL_SUFFIX.values(), ALL_ROOTS)
    require_free(folder, [f"{source.stem}_{suffix}.nii.gz" for suffix in suffixes], of=of)
    return Read(source, folder, of, scan, slices, (*wanted.anchors, *seen))


def write(
    checked: Read,
    found: Segmentation,
    draw: Draw,
    wanted: Wanted | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> dict:
    """Write all that was found in a scan at once; returns the record in the JSON.

    :param made_from: what the results depend on, for the record.
    :raises InputError: the folder cannot be written to.
    """
    wanted = wanted or Wanted()
    record = {
        "scan": checked.source.name,
        "grid": str(checked.scan.native),
        "reading": list(checked.scan.notes),
        **found.record,
    }
    if made_from is not None:
        record["made_from"] = dict(made_from)
    with files_together(checked.folder, of=checked.of) as folder:
        stem = checked.source.stem
        if wanted.dicom_seg:
            from spinalroots.predict.dicom_seg import write_segmentation

            write_segmentation(folder / f"{stem}_{outputs.DICOM_SEG}", checked.slices, found)
        write_result(folder, stem, checked.scan, found, record, draw, wanted.surfaces)
    return record


def write_result(
    folder: Path,
    stem: str,
    scan: Volume,
    found: Segmentation,
    record: dict,
    draw: Draw,
    surfaces: bool = False,
) -> None:
    """Write everything about a segmented scan into a new folder; the JSON comes last.

    :param surfaces: whether the 3D model belongs to it; an empty map has none.
    """
    _write_maps(folder / stem, scan, found)
    found.centreline.write(folder / f"{stem}_{outputs.CENTRELINE}")
    picture = draw(scan, found.maps[Scheme.LEVELS], found.centreline)
    write_bytes(folder / f"{stem}_{outputs.PICTURE}", picture)
    individuals = found.maps[Scheme.INDIVIDUALS]
    if surfaces and individuals.data.any():
        from spinalroots import reconstruct

        place, tissues = folder / f"{stem}_{outputs.SURFACES}", found.maps.get(Scheme.TISSUES)
        reconstruct.case(individuals, place, tissues, subject=stem)
    _write_record(folder, stem, record)


def _write_record(folder: Path, stem: str, record: dict) -> None:
    """The JSON, which lists all files beside it and itself."""
    path = folder / f"{stem}_{outputs.RECORD}"
    there = {name for name in names(folder) if name.startswith(f"{stem}_")} | {path.name}
    record["outputs"] = outputs.listed(sorted(there), stem)
    write_json(path, record)


def told(record: dict) -> list[str]:
    """What a person should hear at once of a prediction: notes, and the gravest warnings."""
    refused = record["export_not_used"]
    lines = [f"The network ran, and not its export: {refused}"] if refused else []
    lines += [f"{note[0].upper()}{note[1:]}." for note in record["reading"]]
    return [*gravest(record["warnings"]), *lines, naming.told(record["naming"])]


GRAVE = ("empty", "no_t2", "upside_down", "wrong_side", "missing_level")
"""Kinds of warnings that a person hears at once, the gravest first; `unlike_training` after them,
the first few; the others stay in the JSON."""
_SHOWN = 4


def gravest(warnings: Sequence[Mapping]) -> list[str]:
    """The warnings that a person should hear at once, and how many more there are."""
    order = {kind: place for place, kind in enumerate((*GRAVE, "unlike_training"))}
    heard = [one for one in warnings if one["kind"] in order]
    heard.sort(key=lambda one: order[one["kind"]])
    shown = heard[:_SHOWN]
    lines = [f"WARNING: {one['message']}" for one in shown]
    if more := len(warnings) - len(shown):
        which = f"{more} more warning" if shown else f"{more} warning"
        lines.append(f"{which}{'s' if more > 1 else ''} in the JSON.")
    return lines


def _discs(path: Path) -> Path:
    return require_file(path, expected="a disc label file", fix="Check the path.")


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
    """Masks with their label tables, and how sure they are, on the scan's own grid."""
    for scheme, labels in found.maps.items():
        path = stem.with_name(f"{stem.name}_{LABEL_SUFFIX[scheme]}")
        write_volume(path.with_name(f"{path.name}.nii.gz"), labels, native=scan.native)
        if scheme is not Scheme.ENTITY:
            label_tables.write_all(path, scheme)
    if Scheme.TISSUES in found.maps:
        mask = all_roots(found.maps[Scheme.TISSUES])
        write_volume(stem.with_name(f"{stem.name}_{ALL_ROOTS}.nii.gz"), mask, native=scan.native)
    for name, values in doubts(found.prediction).items():
        path = stem.with_name(f"{stem.name}_{_SUFFIX[name]}.nii.gz")
        write_probability(path, values, native=scan.native)


_SUFFIX = {
    "foreground": FOREGROUND,
    "root_uncertainty": outputs.ROOT_DOUBT,
    "name_uncertainty": outputs.NAME_DOUBT,
}


def doubts(prediction: Prediction) -> dict[str, Volume]:
    """How sure a prediction is: `foreground`, P(root); `root_uncertainty` and, if the predictor
    gives it, `name_uncertainty`, the chances that either answer is wrong."""
    root, name = prediction.foreground, prediction.name_chance
    tissues = prediction.tissues
    drawn = prediction.labels.data > 0 if tissues is None else tissues.data == ROOT_TISSUE
    doubtful = root.with_data(doubt.root_doubt(root.data, drawn))
    found = {"foreground": root, "root_uncertainty": doubtful}
    if name is not None:
        found["name_uncertainty"] = name.with_data(doubt.name_doubt(name.data))
    return found


def all_roots(tissues: Volume) -> Volume:
    """The mask of every root in a tissue map."""
    return tissues.with_data((tissues.data == ROOT_TISSUE).astype(np.uint8))


def _require_writable(out: Path) -> None:
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(
            out,
            expected="a folder that can be written to",
            found=f"{place} is a file" if not place.is_dir() else f"{place} is read-only",
            fix="Give another folder.",
        )


def voxels_sha256(scan: Volume) -> str:
    """SHA-256 of a scan's voxels and affine, for one that was given in memory."""
    digest = hashlib.sha256(np.ascontiguousarray(scan.data).data)
    digest.update(np.ascontiguousarray(scan.affine, dtype=float).data)
    return digest.hexdigest()


def require_extent(path: Path | str, scan: Volume) -> None:
    """:class:`InputError` unless a scan is large enough to hold a canal, and has contrast."""
    extent = scan.spacing_mm * np.array(scan.data.shape)
    if extent.min() < SMALLEST_MM or float(scan.data.max()) <= float(scan.data.min()):
        raise InputError(
            path,
            expected=f"a scan of at least {SMALLEST_MM:g} mm along every axis, with contrast",
            found=f"{extent[0]:.0f} × {extent[1]:.0f} × {extent[2]:.0f} mm, "
            f"values {scan.data.min():g} to {scan.data.max():g}",
            fix="Give a T2 scan that contains the spinal canal.",
        )
