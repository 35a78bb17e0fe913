"""Writing planned cases: all of them or none, without a word of who they were."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from spinalroots.dataset.annotations import maps as stored_maps
from spinalroots.dataset.annotations import rater_path, read_map
from spinalroots.dataset.layout import CASE_NAME, Dataset
from spinalroots.dataset.selection import INGESTED
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json, write_json
from spinalroots.imaging.volume import Volume, read_image, write_volume
from spinalroots.ingest import lab
from spinalroots.ingest.assemble import Key, label_maps
from spinalroots.ingest.found import Found, MaskFile
from spinalroots.ingest.names import is_nifti, meaning_of, unknown_name
from spinalroots.ingest.planning import PlannedCase, read_found, scan_sha256
from spinalroots.ingest.report import CaseReport, report_of
from spinalroots.registry.anatomy import Scheme

DATASET_NAME = "Ingested scans"


def ingest(cases: list[PlannedCase], root: Path = Path("data/raw/ingested")) -> list[PlannedCase]:
    """Write planned cases into the data set at `root`, which changes whole or not at all.

    Images keep their voxel values and their own grid; a new header is written, so that nothing of
    the old one (names, dates, comments, extensions) comes along.

    :raises InputError: a source that changed since the plan was made.
    """
    with _changed_copy(root) as dataset:
        participants = dataset.participants()
        for case in cases:
            volume, maps, _ = read_found(case.found)
            if scan_sha256(volume) != case.scan_sha256:
                raise InputError(
                    case.origin,
                    expected="the scan that was planned",
                    found="another one in its place",
                    fix="Plan again.",
                )
            write_volume(dataset.image(case.name), _compact(volume), native=volume.native)
            _write_maps(dataset, case.name, maps, volume)
            write_json(dataset.sidecar(case.name), _record(volume, case.scan_sha256, case.report))
            participants.loc[case.name, ["source", "subject"]] = [INGESTED, case.subject]
        dataset.write_description(DATASET_NAME, participants.sort_index())
    return cases


def replace_masks(
    case: str, source: Path, root: Path = Path("data/raw/ingested")
) -> tuple[CaseReport, list[str]]:
    """Put masks that came back from an annotator in the place of the case's old ones.

    A whole map replaces the old map of its scheme. Single masks replace their own labels; the other
    labels stay, except where a corrected mask claims their voxels. Masks of a rater replace that
    rater's; masks without a rater become the agreed ones, which win over all raters'.

    :param source: a folder of masks named as for ingest, or one mask; an image in it is ignored if
        it is the case's scan, and an error if it is another.
    :returns: the case's new report, and what changed, in lines of text.
    """
    if not CASE_NAME.match(case) or not Dataset(root).image(case).is_file():
        raise InputError(
            f"case {case!r}",
            expected=f"a case in {root}",
            found="none of that name",
            fix="`spinalroots ingest` lists the names it gives.",
        )
    scan_path = Dataset(root).image(case)
    scan = read_image(scan_path)
    found = _masks_only(Path(source), scan)
    new_maps, notes = label_maps(found.masks, scan_path, scan)
    if not new_maps:
        raise InputError(source, expected="masks", found="none", fix="Check the folder.")
    changes = []
    with _changed_copy(root) as dataset:
        for key, corrected in new_maps.items():
            merged, lines = _merge(dataset, case, key, corrected, found.masks)
            _write_maps(dataset, case, {key: merged}, scan)
            changes += lines
        merged_maps = {
            (entry.rater, entry.scheme): read_map(dataset, case, entry).data
            for entry in stored_maps(dataset, case)
        }
        report = report_of(merged_maps, notes)
        record = read_json(dataset.sidecar(case)) if dataset.sidecar(case).is_file() else {}
        digest = record.get("scan_sha256") or scan_sha256(scan)
        write_json(dataset.sidecar(case), record | _record(scan, digest, report))
    return report, changes


@contextmanager
def _changed_copy(root: Path) -> Iterator[Dataset]:
    """The data set in a staging folder, files linked, that replaces `root` at the end."""
    root = Path(root)
    _tidy_up_after_a_kill(root)
    with folder_in_one_piece(root) as staging:
        if root.is_dir():
            shutil.copytree(root, staging, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        yield Dataset(staging)


def _tidy_up_after_a_kill(root: Path) -> None:
    """Put back what a killed ingest had set aside, and clear its staging folders away."""
    for aside in sorted(root.parent.glob(f".{root.name}.old.*/{root.name}")):
        if not root.exists():
            os.replace(aside, root)
    for leftover in root.parent.glob(f".{root.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """A hard link where the file system can; everything is written by rename, so it is safe."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _compact(volume: Volume) -> Volume:
    """The same values as int16 where they are whole and fit, else float32."""
    data = volume.data
    if data.min() >= -32768 and data.max() <= 32767 and np.array_equal(data, np.rint(data)):
        return volume.with_data(data.astype(np.int16))
    return volume


def _write_maps(dataset: Dataset, case: str, maps: dict[Key, np.ndarray], scan: Volume) -> None:
    for (rater, scheme), labels in maps.items():
        path = rater_path(dataset, case, scheme, rater) if rater else dataset.labels(case, scheme)
        write_volume(path, scan.with_data(labels), native=scan.native)


def _record(scan: Volume, digest: str, report: CaseReport) -> dict:
    """The sidecar: geometry and contents, nothing that names the person or the source."""
    return {
        "source": INGESTED,
        "orientation": scan.native.orientation,
        "shape": list(scan.native.shape),
        "voxel_size_mm": [round(float(size), 4) for size in scan.native.spacing_mm],
        "scan_sha256": digest,
        "masks": report.present,
        "missing": report.missing,
    }


def _masks_only(source: Path, scan: Volume) -> Found:
    if source.is_dir():
        found = lab.read_folder(source)
        if found.scan is not None and found.scan.is_file():
            other = read_image(found.scan)
            if scan_sha256(other) != scan_sha256(scan):
                raise InputError(
                    found.scan,
                    expected="masks of the case, or its own scan beside them",
                    found="another image",
                    fix="Take the image out of the folder, or ingest it as a new case.",
                )
        return found
    if not source.is_file() or not is_nifti(source):
        raise InputError(
            source,
            expected="a folder of masks, or one mask",
            found="another file" if source.is_file() else "no such file or folder",
            fix="Check the path.",
        )
    meaning = meaning_of(source)
    if meaning is None:
        raise unknown_name(source)
    return Found(source.name, None, (MaskFile(source, meaning),))


def _merge(
    dataset: Dataset, case: str, key: Key, corrected: np.ndarray, files: tuple[MaskFile, ...]
) -> tuple[np.ndarray, list[str]]:
    """The new map of (rater, scheme), and what changed."""
    rater, scheme = key
    title = f"{scheme} (rater {rater})" if rater else str(scheme)
    old = next(
        (
            entry
            for entry in stored_maps(dataset, case)
            if (entry.rater, entry.scheme) == (rater, scheme)
        ),
        None,
    )
    mine = [file.meaning for file in files if file.meaning.rater == rater]
    values = {meaning.value for meaning in mine if meaning.scheme == scheme}
    if old is None or scheme is Scheme.ENTITY or None in values:
        return corrected, [f"{title}: {'new' if old is None else 'replaced whole'}"]
    before = read_map(dataset, case, old).data
    kept = np.where(np.isin(before, sorted(values)), 0, before)
    merged = np.where(corrected != 0, corrected, kept).astype(np.uint8)
    lost = np.count_nonzero((kept != 0) & (corrected != 0))
    untouched = len(set(np.unique(kept).tolist()) - {0})
    return merged, [
        f"{title}: {len(values)} labels replaced, {untouched} kept, "
        f"{lost} voxels of kept labels given to corrected ones"
    ]
