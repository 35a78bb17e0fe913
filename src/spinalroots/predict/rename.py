"""All names of a finished map moved up or down: the masks stay, `L3` becomes `L4`.

What a person finds out after a prediction, that the vertebrae were counted wrong, is so mended
without running the network again, corrections by hand included.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spinalroots.dataset import label_tables
from spinalroots.dataset.layout import LABEL_SUFFIX
from spinalroots.errors import InputError
from spinalroots.files import files_together, require_free, sha256, write_json
from spinalroots.files.text import read_object
from spinalroots.imaging.volume import read_labels, rewrite_labels
from spinalroots.registry.anatomy import LEVELS, Scheme, label_names

SCHEMES = (Scheme.LEVELS, Scheme.INDIVIDUALS)
RECORD, PICTURE = "_prediction.json", "_preview.png"
_PER_LEVEL = {Scheme.LEVELS: 1, Scheme.INDIVIDUALS: 4}
_LEVEL = re.compile(
    rf"(?<![A-Za-z0-9])({'|'.join(sorted(LEVELS, key=len, reverse=True))})(?![0-9])"
)


def rename(
    sources: Sequence[Path], shift: int, out: Path, scheme: Scheme | None = None
) -> list[str]:
    """Write maps, or whole predictions, with all names moved by `shift` levels.

    :param sources: level or individual maps (NIfTI), or folders of `spinalroots predict`, from
        which all files of its predictions come along but the preview, whose colours would be wrong.
    :param shift: +1: one level further down (caudal), L3 becomes L4.
    :param scheme: of maps whose names do not tell.
    :return: names of the files written into `out`, beside what is there and never over it.
    :raises InputError: no such map, a name that would leave C1…S5, or a file in the way.
    """
    maps: dict[Path, Scheme] = {}
    others: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            found, beside = _prediction(source)
            maps |= found
            others += beside
        elif not source.exists():
            raise InputError(
                source,
                expected="a level or individual map, or the folder of a prediction",
                found="no such file or folder",
                fix="Check the path.",
            )
        else:
            maps[source] = scheme or _scheme(source)
    _require_names_apart([*maps, *others], out)
    for path, of in maps.items():
        _require_names(path, of, shift)
    names = [_written(path) for path in maps] + [path.name for path in others]
    digests = " ".join(sorted(sha256(path) for path in (*maps, *others)))
    made_of = f"rename {shift:+d} {digests}"
    require_free(out, names, of=made_of)
    with files_together(out, of=made_of) as folder:
        for path, of in maps.items():
            target = folder / _written(path)
            rewrite_labels(path, target, table(of, shift))
            label_tables.write_all(target.with_name(_stem(path)), of)
        for path in others:
            if path.name.endswith(RECORD):
                write_json(folder / path.name, _renamed(path, shift))
            else:
                shutil.copyfile(path, folder / path.name)
    return names


def table(scheme: Scheme, shift: int) -> np.ndarray:
    """New value (256,) uint8 of each label value; a name that leaves the registry becomes 0."""
    values = np.zeros(256, np.uint8)
    names = label_names(scheme)
    for value in names:
        moved = value + _PER_LEVEL[scheme] * shift
        values[value] = moved if moved in names else 0
    return values


def _renamed(path: Path, shift: int) -> dict:
    what = {"expected": "the JSON of a prediction", "fix": "Restore it, or take it out."}
    try:
        return renamed(read_object(path, **what), shift)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, found=f"another one ({error!r})", **what) from error


def renamed(record: dict, shift: int) -> dict:
    """A prediction's JSON with its levels moved: voxels, warnings, and what names rest on."""

    def moved(text: str) -> str:
        return _LEVEL.sub(lambda found: _moved(found[0], shift), text)

    record = {**record}
    if "voxels" in record:
        record["voxels"] = {moved(name): count for name, count in record["voxels"].items()}
    record["warnings"] = [
        one
        if one["kind"] == "unlike_training"
        else {**one, "label": moved(one["label"]), "message": moved(one["message"])}
        for one in record.get("warnings", [])
    ]
    naming = record.get("naming", {})
    total = naming.get("renamed_by", 0) + shift
    record["naming"] = {
        **naming,
        "renamed_by": total,
        "note": f"A person moved all names by {total:+d} levels (+1: one further down). Before: "
        + naming.get("note", "").split(" Before: ")[-1],
    }
    return record


def _moved(level: str, shift: int) -> str:
    index = LEVELS.index(level) + shift
    return LEVELS[index] if 0 <= index < len(LEVELS) else level


def _prediction(folder: Path) -> tuple[dict[Path, Scheme], list[Path]]:
    """Maps to rename, and what else belongs to the predictions in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    maps = {
        path: scheme
        for scheme in SCHEMES
        for path in files
        if path.name.endswith(f"_{LABEL_SUFFIX[scheme]}.nii.gz")
    }
    if not maps:
        raise InputError(
            folder,
            expected=f"a prediction, with …_{LABEL_SUFFIX[Scheme.LEVELS]}.nii.gz",
            found="no level map and no individual map",
            fix="Give the folder that `spinalroots predict` wrote, or the maps themselves.",
        )
    scans = {path.name.removesuffix(f"_{LABEL_SUFFIX[of]}.nii.gz") for path, of in maps.items()}
    rest = [
        path
        for path in files
        if path not in maps
        and not path.name.endswith(PICTURE)
        and path.name.startswith(tuple(f"{scan}_" for scan in scans))
        and not any(f"_{LABEL_SUFFIX[scheme]}" in path.name for scheme in SCHEMES)
    ]
    return maps, rest


def _scheme(path: Path) -> Scheme:
    told = [scheme for scheme in SCHEMES if scheme in path.name]
    if len(told) != 1:
        raise InputError(
            path,
            expected=f"a name with one of {', '.join(SCHEMES)} in it",
            found=path.name,
            fix="Say with --scheme which map it is.",
        )
    return told[0]


def _require_names(path: Path, scheme: Scheme, shift: int) -> None:
    names = label_names(scheme)
    labels = read_labels(path, allowed=set(names))
    lost = [
        names[value]
        for value in np.unique(labels.data).tolist()
        if value and not table(scheme, shift)[value]
    ]
    if lost:
        raise InputError(
            path,
            expected=f"names that stay within {LEVELS[0]}…{LEVELS[-1]} when moved by {shift:+d}",
            found=f"{', '.join(lost)}, which would leave them",
            fix="Take these out of the map first, or move the other way.",
        )


def _require_names_apart(paths: Sequence[Path], out: Path) -> None:
    taken: dict[str, Path] = {}
    for path in paths:
        twin = taken.setdefault(_written(path), path)
        if twin is not path:
            raise InputError(
                path,
                expected=f"another name than {twin} has, as both go into {out}",
                found=_written(path),
                fix="Rename them one after the other, into a folder each.",
            )


def _stem(path: Path) -> str:
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    if not stem:
        raise InputError(
            path,
            expected="a map with a name before its ending",
            found="none",
            fix="Give the file a name.",
        )
    return stem


def _written(path: Path) -> str:
    """NIfTI comes out compressed, whatever it was."""
    return f"{_stem(path)}.nii.gz" if path.name.endswith((".nii", ".nii.gz")) else path.name
