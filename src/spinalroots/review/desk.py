"""What the page can ask for and do, in plain values; :mod:`spinalroots.review.server` carries it.

A number of a case is its place in the list, a voxel's number its place in what the page shows of
the map (first axis fastest).
"""

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from spinalroots.errors import InputError
from spinalroots.expert import score_file
from spinalroots.expert.scores import ExpertScore, Verdict, validated
from spinalroots.files import alone
from spinalroots.metrics.effort import NO_HELP, NOTHING_LEFT
from spinalroots.metrics.measurements import regions_of
from spinalroots.registry.anatomy import (
    REFINED_LEVELS,
    REFINED_ROOTS,
    Region,
    Scheme,
    label_names,
    level_value,
)
from spinalroots.registry.models import MODELS
from spinalroots.review import corrected, drafts, edits
from spinalroots.review.cases import Case, data_paths
from spinalroots.review.drafts import Draft
from spinalroots.review.maps import Maps, Shelf
from spinalroots.viewer import content

ENDS = {
    NO_HELP: "no added value: it would have been as quick to draw everything from nothing",
    NOTHING_LEFT: "the expert's work is done: nothing is left to correct",
}
"""The two ends of the expert score (the paper, III)."""


class Conflict(InputError):
    """The page shows something that is no longer so; loading it again helps."""


class Desk:
    """The cases of one call of `spinalroots review`; safe to use from several threads."""

    def __init__(self, cases: Sequence[Case], data: Path) -> None:
        self.cases = list(cases)
        self._raw, _, self._review, _ = data_paths(Path(data))
        self._known = score_file.known_cases(self._raw)
        self._shelf = Shelf()

    def overview(self, reviewer: str) -> list[dict]:
        """Every case, and how far the reviewer has come with it: `new`, `begun` or `confirmed`.

        :raises InputError: a name that no reviewer can have; a damaged table of scores.
        """
        drafts.require_reviewer(reviewer)
        tables = {path: score_file.read(path) for path in {case.scores for case in self.cases}}
        rows = []
        for number, case in enumerate(self.cases):
            mine = _rows_of(tables[case.scores], case, reviewer)
            begun = drafts.any_of(self._review, reviewer, case.model, case.name)
            version = self._shelf.version(case) if mine or begun else ""
            now = [row for row in mine if row.prediction == version]
            draft = drafts.read(self._draft_path(case, reviewer, version)) if version else Draft()
            state = "confirmed" if now else "begun" if draft.begun else "new"
            rows.append(
                {
                    "number": number,
                    "case": case.name,
                    "title": case.stem,
                    "model": case.model,
                    "state": state,
                    "verdict": now[-1].verdict if now else "",
                }
            )
        return rows

    def case(self, number: int, reviewer: str) -> dict:
        """All that the page shows of a case beside its voxels."""
        case, maps = self._of(number)
        draft = drafts.read(self._draft_path(case, reviewer, maps.version))
        rows = _rows_of(score_file.read(case.scores), case, reviewer)
        return {
            "number": number,
            "case": case.name,
            "title": case.stem,
            "model": case.model,
            "scheme": str(case.scheme),
            "version": maps.version,
            "revision": len(draft.steps),
            "unsaved": draft.unsaved,
            "form": draft.form,
            "confirmed": [asdict(row) for row in rows if row.prediction == maps.version],
            "regions": [str(region) for region in _regions(case)],
            "ends": [[end, told] for end, told in ENDS.items()],
            "labels": content.labels(case.scheme, label_names(case.scheme)),
            "offered": _offered(case.scheme),
            "remarks": _remarks(case, maps),
            "scores": str(case.scores),
            "corrected": str(corrected.folder_of(case, reviewer)),
        }

    def scan(self, number: int) -> bytes:
        """What the page shows of the scan, as a compressed NIfTI file."""
        return content.packed(self._shelf.scan(self._case(number)))

    def labels(self, number: int, reviewer: str) -> bytes:
        """The map with the reviewer's corrections so far, as a compressed NIfTI file."""
        case, maps = self._of(number)
        draft = drafts.read(self._draft_path(case, reviewer, maps.version))
        labels = edits.applied(maps.labels.data, case.scheme, draft.steps)
        return content.packed(maps.labels.with_data(labels).crop(maps.box))

    def enter(self, number: int, reviewer: str, version: str, form: dict) -> dict:
        """Keep the form as it is."""
        case, maps = self._of(number, version)
        with drafts.changing(self._draft_path(case, reviewer, maps.version)) as draft:
            draft.form = form
        return {}

    def edit(
        self, number: int, reviewer: str, version: str, revision: int, change: Mapping[str, Any]
    ) -> dict:
        """Make one correction, or take the last one back.

        :param revision: how many steps the page knows of.
        :param change: `kind` paint (`voxels`, `value`; 0 erases), rename (`voxel`, `value`,
            `whole`), shift (`by`) or undo.
        :return: the new revision, and the `voxels` that have changed with their `values`.
        :raises Conflict: another page of the same reviewer was quicker.
        """
        case, maps = self._of(number, version)
        whole, scheme = maps.labels.data, case.scheme
        with drafts.changing(self._draft_path(case, reviewer, maps.version)) as draft:
            if len(draft.steps) != revision:
                raise Conflict(
                    "correction",
                    expected=f"a page that knows of all {len(draft.steps)} corrections",
                    found=f"one that knows of {revision}",
                    fix="Load the page again; nothing is lost.",
                )
            before = edits.applied(whole, scheme, draft.steps)
            if change["kind"] == "undo":
                if not draft.steps:
                    raise InputError(
                        "undo", expected="a correction", found="none", fix="Nothing to take back."
                    )
                draft.undo()
                after = edits.applied(whole, scheme, draft.steps)
            else:
                step = _step(before, scheme, maps, change)
                after = edits.applied(before, scheme, [step])
                if not np.array_equal(before, after):
                    draft.steps.append(step)
            state = {"revision": len(draft.steps), "unsaved": draft.unsaved}
        voxels, values = edits.difference(maps.shown(before), maps.shown(after))
        return {**state, "voxels": voxels.tolist(), "values": values.tolist()}

    def save(self, number: int, reviewer: str, version: str) -> dict:
        """Write the corrected masks."""
        case, maps = self._of(number, version)
        with drafts.changing(self._draft_path(case, reviewer, maps.version)) as draft:
            labels = edits.applied(maps.labels.data, case.scheme, draft.steps)
            steps = len(draft.steps)
            folder = corrected.write(case, reviewer, maps.version, maps.labels, labels, steps)
            draft.saved = steps
        return {"folder": str(folder), "unsaved": False}

    def confirm(self, number: int, reviewer: str, version: str, form: dict) -> dict:
        """Write the judgement into the table of scores, a row a region that was scored.

        Corrections that are not saved yet are saved first. Saying the same twice adds nothing.

        :raises InputError: no verdict, or something that the table does not take.
        """
        case, maps = self._of(number, version)
        rows = self._judgement(case, reviewer, maps.version, form)
        with drafts.changing(self._draft_path(case, reviewer, maps.version)) as draft:
            draft.form, unsaved = form, draft.unsaved
        if unsaved:
            self.save(number, reviewer, version)
        known = self._known if case.known else None
        with alone(Path(os.path.realpath(case.scores))):
            earlier = _rows_of(score_file.read(case.scores), case, reviewer)
            if [_undated(row) for row in earlier[-len(rows) :]] != [_undated(row) for row in rows]:
                score_file.append_all(case.scores, rows, known_cases=known)
        return {"rows": [asdict(row) for row in rows], "file": str(case.scores)}

    def _judgement(
        self, case: Case, reviewer: str, version: str, form: Mapping[str, Any]
    ) -> list[ExpertScore]:
        """The first row, of the model's own region, carries what is said of the whole case."""
        drafts.require_reviewer(reviewer)
        verdict, scores = form.get("verdict") or "", form.get("scores") or {}
        if verdict not in set(Verdict):
            raise InputError(
                "verdict", expected=", ".join(Verdict), found=repr(verdict), fix="Choose one."
            )
        same = {
            "case": case.name,
            "model": case.model,
            "rater": reviewer,
            "date": datetime.date.today().isoformat(),
            "prediction": version,
            "verdict": verdict,
        }
        own, *parts = map(str, _regions(case))
        first = {
            "minutes_without": form.get("minutes_without"),
            "minutes_with": form.get("minutes_with"),
            "comment": " ".join(str(form.get("comment") or "").split()),
            "to_mend": " ".join(form.get("to_mend") or []),
        }
        records = [{**same, **first, "region": own, "score": scores.get(own)}]
        records += [
            {**same, "region": part, "score": scores[part]}
            for part in parts
            if scores.get(part) not in (None, "")
        ]
        known = self._known if case.known else None
        return [validated(record, f"score of {case.name}", known) for record in records]

    def _case(self, number: int) -> Case:
        if 0 <= number < len(self.cases):
            return self.cases[number]
        raise InputError(
            "case", expected=f"0 to {len(self.cases) - 1}", found=str(number), fix="Reload."
        )

    def _of(self, number: int, version: str | None = None) -> tuple[Case, Maps]:
        case = self._case(number)
        maps = self._shelf.maps(case)
        if version not in (None, maps.version):
            raise Conflict(
                case.mask,
                expected=f"version {version} of the prediction, which the page shows",
                found=f"{maps.version}: it was made anew meanwhile",
                fix="Load the page again; what you entered about the other version is kept.",
            )
        return case, maps

    def _draft_path(self, case: Case, reviewer: str, version: str) -> Path:
        return drafts.path_of(self._review, reviewer, case.model, case.name, version)


def _step(before: np.ndarray, scheme: Scheme, maps: Maps, change: Mapping[str, Any]) -> dict:
    kind = change["kind"]
    if kind == "paint":
        voxels = maps.to_whole(np.asarray(change["voxels"], np.int64))
        return edits.paint(before, scheme, voxels.tolist(), int(change["value"]))
    if kind == "rename":
        voxel = int(maps.to_whole(np.array([change["voxel"]]))[0])
        whole = bool(change.get("whole"))
        return edits.rename(before, scheme, voxel, int(change["value"]), whole=whole)
    if kind == "shift":
        return edits.shift(before, scheme, int(change["by"]))
    raise InputError(
        "correction", expected="paint, rename, shift or undo", found=repr(kind), fix="Choose one."
    )


def _rows_of(rows: Sequence[ExpertScore], case: Case, reviewer: str) -> list[ExpertScore]:
    return [
        row for row in rows if (row.case, row.model, row.rater) == (case.name, case.model, reviewer)
    ]


def _undated(row: ExpertScore) -> dict:
    return {**asdict(row), "date": ""}


def _regions(case: Case) -> tuple[Region, ...]:
    return regions_of(MODELS[case.model].region if case.model in MODELS else Region.ALL)


def _offered(scheme: Scheme) -> list[int]:
    """Values to choose from even where the map has none of them."""
    if scheme is Scheme.LEVELS:
        return [level_value(level) for level in REFINED_LEVELS]
    return [root.value for root in REFINED_ROOTS]


def _remarks(case: Case, maps: Maps) -> list[dict]:
    """The prediction's warnings with the label values that each is about."""
    names = label_names(case.scheme)
    present = set(np.unique(maps.labels.data).tolist())
    found = []
    for one in case.warnings:
        label = str(one.get("label", ""))
        about = {v for v, name in names.items() if label in (name, name.partition("_")[0])}
        here = sorted(about & present)
        found.append({"text": str(one.get("message", "")), "values": here})
    return found
