"""What there is to review: predictions of the pipeline's models, and of `spinalroots predict`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spinalroots.dataset.layout import ALL_ROOTS, LABEL_SUFFIX, Dataset
from spinalroots.errors import InputError
from spinalroots.files.listing import listed
from spinalroots.files.text import read_object
from spinalroots.predict import sources
from spinalroots.predict.outputs import RECORD
from spinalroots.predict.sources import Source
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import DEFAULT_MODEL

SCHEMES = (Scheme.INDIVIDUALS, Scheme.LEVELS)
"""Maps that can be reviewed; of several of one scan the first is."""


@dataclass(frozen=True)
class Case:
    """One prediction of one scan.

    `name`: as the table of scores calls it, `sub-…`; `stem`: what its files' names begin with.
    `mask`: the map that is judged and mended, of `scheme`. `beside`: the folder that corrected
    masks go into; `scores`: the table that judgements go into. `known`: whether the scan is a case
    of the data, whose scores the pipeline takes. `orientation`: of the scan's axes, if a person had
    to say it.
    """

    name: str
    stem: str
    model: str
    mask: Path
    scheme: Scheme
    scan: Source
    beside: Path
    scores: Path
    known: bool
    orientation: str | None = None

    @property
    def all_roots(self) -> Path:
        """The mask of every root in sight, named or not (it may not exist)."""
        return self.mask.with_name(f"{self.stem}_{ALL_ROOTS}.nii.gz")

    @cached_property
    def warnings(self) -> list[dict]:
        """What `predict` found implausible: `kind`, `label` and `message` each."""
        record = self.mask.with_name(f"{self.stem}_{RECORD}")
        return _record(record).get("warnings", [])


def find(given: Sequence[Path], data: Path, scans: Sequence[Path] = ()) -> list[Case]:
    """The cases in `given`, in their order, each once.

    :param given: folders of `spinalroots predict`, data sets of predictions such as
        data/postprocessed/MODEL or the folder of several of them, or maps in any of these.
    :param data: the project's data folder: scans in `raw`, scores, drafts, corrected masks.
    :param scans: scans, or folders of them, of predictions whose scan is nowhere near.
    :raises InputError: nothing to review in a source, or a scan that is not to be found.
    """
    found: dict[Path, Case] = {}
    for source in map(Path, given):
        masks = _masks(source)
        if not masks:
            raise InputError(
                source,
                expected="a prediction: a folder that `spinalroots predict` wrote, or one of "
                f"predictions such as {paths.POSTPROCESSED / DEFAULT_MODEL}",
                found="no such file or folder"
                if not source.exists()
                else f"no …_{LABEL_SUFFIX[Scheme.INDIVIDUALS]}.nii.gz",
                fix="Check the path, or run `spinalroots predict` first.",
            )
        for mask in masks:
            found.setdefault(mask.resolve(), _case(mask, data, scans))
    return list(found.values())


def data_paths(data: Path) -> tuple[Path, Path, Path, Path]:
    """Below a data folder: raw data sets, scores, drafts, and corrected masks."""
    own = (paths.RAW, paths.EXPERT_SCORES, paths.REVIEW, paths.CORRECTED)
    raw, scores, review, corrected = (data / path.name for path in own)
    return raw, scores, review, corrected


def _masks(source: Path) -> list[Path]:
    """Maps to review, one a scan."""
    if source.is_file():
        return [source] if _scheme(source) else []
    masks = [
        path
        for scheme in SCHEMES
        for path in source.rglob(f"*_{LABEL_SUFFIX[scheme]}.nii.gz")
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(source).parts)
    ]
    first: dict[tuple[Path, str], Path] = {}
    for path in masks:  # individuals come before levels
        first.setdefault((path.parent, _stem(path)), path)
    return sorted(first.values())


def _scheme(mask: Path) -> Scheme | None:
    ends = (scheme for scheme in SCHEMES if mask.name.endswith(f"_{LABEL_SUFFIX[scheme]}.nii.gz"))
    return next(ends, None)


def _stem(mask: Path) -> str:
    return mask.name.partition("_label-")[0]


def _case(mask: Path, data: Path, scans: Sequence[Path]) -> Case:
    scheme = _scheme(mask)
    assert scheme is not None  # _masks gives no others
    raw, scores, _, corrected = data_paths(data)
    stem = _stem(mask)
    if mask.parent.parts[-4:-2] == ("derivatives", "labels"):
        dataset = mask.parents[4]
        name = Dataset(raw).image(stem).name
        near = [Source(path, stem) for path in raw.glob(f"*/{stem}/anat/{name}")]
        scan = next(iter([*near, *_given(scans, {stem, f"{stem}_T2w"})]), None)
        if scan is None:
            raise _no_scan(mask, f"{name} in {raw}, or where --scans says")
        model = dataset.resolve().name
        beside = corrected / model
        return Case(stem, stem, model, mask, scheme, scan, beside, scores, True)
    record_path = mask.with_name(f"{stem}_{RECORD}")
    record = _record(record_path)
    scan = _scan_of(mask, stem, record, raw, scans)
    subject = stem.partition("_")[0]
    parents = scan.path.resolve().parents
    known = scan.path.parent.parent.name == subject and raw.resolve() in parents
    return Case(
        subject if known else f"sub-{re.sub('[^0-9A-Za-z]', '', stem)}",
        stem,
        record.get("model", DEFAULT_MODEL),
        mask,
        scheme,
        scan,
        mask.parent,
        scores if known else mask.with_name(scores.name),
        known,
        record.get("made_from", {}).get("orientation"),
    )


def _record(path: Path) -> dict:
    """What `predict` wrote about a scan; empty where there is nothing.

    :raises InputError: it is no longer what `predict` writes.
    """
    if not path.is_file():
        return {}
    what = {"expected": "the JSON of a prediction", "fix": "Restore it, or take it away."}
    found = read_object(path, **what)
    kinds = {"scan": str, "model": str, "made_from": dict, "warnings": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(found.get(name, kind()), kind)]
    wrong += ["warnings" for one in found.get("warnings", []) if not isinstance(one, dict)]
    if wrong:
        raise InputError(path, found=f"another one: {wrong[0]}", **what)
    return found


def _scan_of(mask: Path, stem: str, record: dict, raw: Path, scans: Sequence[Path]) -> Source:
    """The scan that a prediction in a person's folder was made of.

    Where the folder's list tells the scan's SHA-256, another scan of that name is not taken.
    """
    name = Path(record.get("scan", f"{stem}.nii.gz")).name
    near = [mask.parent / name, mask.parent.parent / name, *raw.glob(f"*/sub-*/anat/{name}")]
    digests = {
        words[-1]
        for line in listed(mask.parent).get(mask.name, [])
        if (words := line.get("of", "").split()) and words[0] == "predict"
    }
    names = {stem, f"{stem}_T2w"}
    for scan in (*_given(scans, names), *_given([one for one in near if one.exists()], names)):
        if not digests or scan.sha256() in digests:
            return scan
    raise _no_scan(mask, f"{name} beside it, in {raw}, or where --scans says")


def _given(places: Sequence[Path], stems: set[str]) -> list[Source]:
    """The scans of these names among files, and in folders."""
    return [one for one in sources.find(places).scans if one.stem in stems]


def _no_scan(mask: Path, where: str) -> InputError:
    return InputError(
        mask,
        expected=f"the scan that it was made of: {where}",
        found="none",
        fix="Give the scan, or its folder, with --scans.",
    )
