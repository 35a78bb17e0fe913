"""Writing planned cases: all of them or none, without a word of who they were."""

from pathlib import Path

import numpy as np

from spinalroots.dataset.annotations import maps as stored_maps
from spinalroots.dataset.annotations import rater_path, read_map
from spinalroots.dataset.layout import CASE_NAME, Dataset
from spinalroots.errors import InputError
from spinalroots.files import alone, files_together, write_json
from spinalroots.files.listing import names
from spinalroots.files.text import read_object
from spinalroots.imaging.volume import Volume, read_image, write_volume
from spinalroots.ingest import lab
from spinalroots.ingest.assemble import CaseReport, Key, label_maps, report_of
from spinalroots.ingest.comparison import Change, changes_of
from spinalroots.ingest.curves import add_curves, curve_meaning, is_curve
from spinalroots.ingest.found import Found, MaskFile, require_nifti
from spinalroots.ingest.names import meaning_of, require_own_values, unknown_name
from spinalroots.ingest.planning import SIDECAR, PlannedCase, known_scans, read_found, scan_sha256
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.paths import INGESTED

DATASET_NAME, PARTICIPANTS = "Ingested scans", "participants.tsv"


def ingest(cases: list[PlannedCase], root: Path = INGESTED) -> list[PlannedCase]:
    """Add planned cases to the data set at `root`: all of them or none.

    Images keep their voxel values and their own grid; a new header is written, so that nothing of
    the old one (names, dates, comments, extensions) comes along. participants.tsv keeps the
    columns and rows that it has.

    :raises InputError: a source, or the data set, that changed since the plan was made.
    """
    root = Path(root)
    with alone(root), files_together(root, of=None, replacing=[PARTICIPANTS]) as staging:
        present, dataset = Dataset(root), Dataset(staging)
        known, people = known_scans(present), present.participants_as_text()
        for case in cases:
            if case.scan_sha256 in known or (root / case.name).exists():
                raise InputError(
                    case.origin,
                    expected="a scan and a name that the data set has not got",
                    found=f"that {known.get(case.scan_sha256, case.name)} came in meanwhile",
                    fix="Plan again.",
                )
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
            record = _record(volume, case.scan_sha256, case.report)
            reading = {"reading": list(volume.notes)} if volume.notes else {}
            write_json(dataset.sidecar(case.name), record | reading)
            people.loc[case.name, ["source", "subject"]] = [INGESTED.name, case.subject]
        dataset.write_description(DATASET_NAME, people.fillna("n/a").sort_index())
        for name in names(staging):
            if "sub-" not in name and name != PARTICIPANTS and (root / name).exists():
                (staging / name).unlink()  # a description that a person may have filled in
    return cases


def replace_masks(
    case: str, source: Path, root: Path = INGESTED, correction: int = 1
) -> tuple[CaseReport, list[str], list[Change]]:
    """Put masks that came back from an annotator in the place of the case's old ones.

    A whole map replaces the old map of its scheme. Single masks replace their own labels; the other
    labels stay, except where a corrected mask claims their voxels. Masks of a rater replace that
    rater's; masks without a rater become the agreed ones, which win over all raters'.

    :param source: a folder of masks named as for ingest, or one mask; an image in it is ignored if
        it is the case's scan, and an error if it is another.
    :param correction: the number that the rows of the comparison get.
    :returns: the case's new report; what changed, in lines of text; every label of the maps that
        changed, before and after.
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
    notes += add_curves(new_maps, found.curves, scan, union=False)
    if not new_maps:
        raise InputError(source, expected="masks", found="none", fix="Check the folder.")
    with alone(root):
        present, changes, compared = Dataset(root), [], []
        stored = stored_maps(present, case)
        maps = {(one.rater, one.scheme): read_map(present, case, one).data for one in stored}
        for key, corrected in new_maps.items():
            before = maps.get(key)
            maps[key], lines = _merge(key, before, corrected, (*found.masks, *found.curves))
            changes += lines
            rater, scheme = key
            compared += changes_of(
                before,
                maps[key],
                scheme,
                scan.grid.voxel_mm3,
                rater=rater,
                correction=correction,
            )
        report = report_of(maps, notes)
        sidecar = present.sidecar(case)
        record = read_object(sidecar, **SIDECAR) if sidecar.is_file() else {}
        digest = record.get("scan_sha256") or scan_sha256(scan)
        own = [present.sidecar(case), *(_map_path(present, case, key) for key in new_maps)]
        replaced = [path.relative_to(root).as_posix() for path in own]
        with files_together(root, of=None, replacing=replaced) as staging:
            _write_maps(Dataset(staging), case, {key: maps[key] for key in new_maps}, scan)
            write_json(Dataset(staging).sidecar(case), record | _record(scan, digest, report))
    return report, changes, compared


def _compact(volume: Volume) -> Volume:
    """The same values as int16 where they are whole and fit, else float32."""
    data = volume.data
    if data.min() >= -32768 and data.max() <= 32767 and np.array_equal(data, np.rint(data)):
        return volume.with_data(data.astype(np.int16))
    return volume


def _map_path(dataset: Dataset, case: str, key: Key) -> Path:
    rater, scheme = key
    return rater_path(dataset, case, scheme, rater) if rater else dataset.labels(case, scheme)


def _write_maps(dataset: Dataset, case: str, maps: dict[Key, np.ndarray], scan: Volume) -> None:
    for key, labels in maps.items():
        write_volume(_map_path(dataset, case, key), scan.with_data(labels), native=scan.native)


def _record(scan: Volume, digest: str, report: CaseReport) -> dict:
    """The sidecar: geometry and contents, nothing that names the person or the source."""
    stored = scan.native or scan.grid
    return {
        "source": INGESTED.name,
        "orientation": stored.orientation,
        "shape": list(stored.shape),
        "voxel_size_mm": [round(float(size), 4) for size in stored.spacing_mm],
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
    if source.is_file() and (segments := lab.segment_masks(source)):
        return Found(source.name, None, tuple(segments))
    if is_curve(source) and source.is_file():
        return Found(source.name, None, curves=(MaskFile(source, curve_meaning(source)),))
    require_nifti(source, expected="a folder of masks, or one mask", fix="Check the path.")
    meaning = meaning_of(source)
    if meaning is None:
        raise unknown_name(source)
    require_own_values(source, meaning)
    return Found(source.name, None, (MaskFile(source, meaning),))


def _merge(
    key: Key, before: np.ndarray | None, corrected: np.ndarray, files: tuple[MaskFile, ...]
) -> tuple[np.ndarray, list[str]]:
    """The new map of (rater, scheme) from the one `before`, if there was one; and what changed."""
    rater, scheme = key
    title = f"{scheme} (rater {rater})" if rater else str(scheme)
    mine = [file.meaning for file in files if file.meaning.rater == rater]
    values = {meaning.value for meaning in mine if meaning.scheme == scheme}
    if before is None or scheme is Scheme.ENTITY or None in values:
        return corrected, [f"{title}: {'new' if before is None else 'replaced whole'}"]
    kept = np.where(np.isin(before, sorted(values)), 0, before)
    merged = np.where(corrected != 0, corrected, kept).astype(np.uint8)
    lost = np.count_nonzero((kept != 0) & (corrected != 0))
    untouched = len(set(np.unique(kept).tolist()) - {0})
    return merged, [
        f"{title}: {len(values)} labels replaced, {untouched} kept, "
        f"{lost} voxels of kept labels given to corrected ones"
    ]
