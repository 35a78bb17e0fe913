"""Stage `augment`: balanced variants of the training cases, with the plan and the distribution."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots.anatomy import LEVELS, ROOTS, Scheme, individuals_to_levels
from spinalroots.augment import balance, dataset, distribution, figures
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json, write_json, write_text
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.params import Params
from spinalroots.tracking import repository_root

REFINED = Path("data/refined")
SPLIT = Path("data/split.json")
AUGMENTED = Path("data/augmented")
REPORTS = Path("reports")
SHEET_PARENTS = 3
SHEET_VARIANTS = 4


def main(params: Params) -> None:
    """Plan, make and describe the augmented data set."""
    refined = Dataset(REFINED)
    train = read_json(SPLIT)["train"]
    scheme, candidates, planned = _plan(refined, train, params)
    variants = _variants(candidates, planned)
    folders = dataset.make_all(
        refined,
        variants,
        params.augment,
        params.seed,
        cache=repository_root() / ".cache" / "augment",
        workers=params.workers,
    )
    records = {name: read_json(Dataset(path).sidecar(name)) for name, path in folders.items()}
    counts = _counts(params, refined, train, records)
    with folder_in_one_piece(AUGMENTED) as staging:
        dataset.collect(folders, staging)
        _describe(staging, refined, variants, counts)
    _report(params, scheme, train, variants, planned, counts)
    _sheet(refined, train, variants, scheme)


def _plan(refined: Dataset, train: list[str], params: Params):
    """Candidates of all training cases and the balance chosen among them."""
    annotated = any(refined.has(case, Scheme.INDIVIDUALS) for case in train)
    scheme = Scheme.INDIVIDUALS if annotated else Scheme.LEVELS
    candidates, voxels, start = [], [], np.zeros(256, np.int64)
    for case in train:
        if not refined.has(case, scheme):
            continue
        labels = read_labels(refined.labels(case, scheme))
        per_slice = distribution.count_slices(labels.data)
        levels = labels.data if scheme is Scheme.LEVELS else individuals_to_levels(labels.data)
        found = balance.crop_candidates(
            case,
            distribution.count_slices(levels)[:, 1 : len(LEVELS) + 1],
            LEVELS,
            round(params.augment.crop_margin_mm / labels.spacing_mm[2]),
        )
        candidates += found
        voxels += [per_slice[one.first : one.last + 1].sum(axis=0) for one in found]
        start += per_slice.sum(axis=0)
    limits = params.augment
    planned = balance.plan_variants(
        distribution.stack(voxels)[:, 1:],
        [train.index(one.case) for one in candidates],
        start[1:],
        variants=limits.variants,
        per_case=limits.variants_per_case,
        whole_per_case=limits.whole_per_case,
        target_ratio=limits.target_ratio,
    )
    return scheme, candidates, planned


def _variants(candidates: list[balance.Candidate], planned: balance.Balance):
    """The planned steps as named cases: sub-ph001aug01, sub-ph001aug02, …"""
    made: Counter[str] = Counter()
    variants = []
    for step in planned.steps:
        one = candidates[step.candidate]
        made[one.case] += 1
        name = f"{one.case}aug{made[one.case]:02d}"
        variants.append(
            dataset.Variant(name, one.case, one.levels, one.first, one.last, step.purpose)
        )
    return variants


def _counts(params: Params, refined: Dataset, train: list[str], records: dict[str, dict]):
    """Stage → scheme → (cases, 256) voxels of the training cases."""
    raw = {case.name: case.dataset for case in selected_cases(params)}
    counts: dict[str, dict[Scheme, np.ndarray]] = {stage: {} for stage in distribution.STAGES}
    for scheme in distribution.COUNTED:
        of_raw = [distribution.count_file(raw[case], case, scheme) for case in train if case in raw]
        of_refined = [distribution.count_file(refined, case, scheme) for case in train]
        of_variants = [
            distribution.from_record(record["voxels"].get(str(scheme), {}))
            for record in records.values()
        ]
        counts["raw"][scheme] = distribution.stack(of_raw)
        counts["refined"][scheme] = distribution.stack(of_refined)
        counts["augmented"][scheme] = distribution.stack(of_refined + of_variants)
    return counts


def _describe(staging: Path, refined: Dataset, variants: list, counts: dict) -> None:
    """participants.tsv, look-up tables and the class weights of the augmented data set."""
    sources = refined.participants().get("source", pd.Series(dtype=str))
    people = pd.DataFrame(
        [
            {
                "participant_id": variant.name,
                "parent": variant.parent,
                "source": sources.get(variant.parent, "unknown"),
            }
            for variant in variants
        ],
        columns=["participant_id", "parent", "source"],
    ).set_index("participant_id")
    Dataset(staging).write_description("Augmented training cases", people)
    weights = {
        str(scheme): balance.class_weights(
            {
                value: int(count)
                for value, count in enumerate(counts["augmented"][scheme].sum(axis=0))
                if value
            }
        )
        for scheme in distribution.COUNTED
    }
    write_json(staging / "class_weights.json", weights)


def _report(params, scheme, train, variants, planned, counts) -> None:
    """The plan, the distribution and the balance, for people and for the page."""
    plan = pd.DataFrame(
        [
            {
                "case": variant.name,
                "parent": variant.parent,
                "purpose": variant.purpose,
                "levels": variant.levels,
                "first_slice": variant.first,
                "last_slice": variant.last,
                "rarest_over_median": round(step.ratio, 4),
            }
            for variant, step in zip(variants, planned.steps, strict=True)
        ],
        columns=["case", "parent", "purpose", "levels", "first_slice", "last_slice"]
        + ["rarest_over_median"],
    )
    _write_csv(REPORTS / "augmentation_plan.csv", plan)
    table = distribution.table(counts)
    _write_csv(REPORTS / "class_distribution.csv", table)
    figures.write_distribution(REPORTS / "figures" / "class_distribution.png", table)
    before = distribution.summary(counts["refined"][scheme])
    after = distribution.summary(counts["augmented"][scheme])
    reached = after["rarest_over_median"] >= params.augment.target_ratio
    totals = counts["augmented"][scheme].sum(axis=0)
    names = {Scheme.INDIVIDUALS: [str(root) for root in ROOTS], Scheme.LEVELS: list(LEVELS)}[scheme]
    rarest = min((n for n in range(1, 256) if totals[n]), key=lambda n: totals[n], default=None)
    write_json(
        REPORTS / "augmentation.json",
        {
            "classes_of": str(scheme),
            "training_cases": len(train),
            "variants": len(variants),
            "before": before,
            "after": after,
            "rarest": names[rarest - 1] if rarest else "",
            "target_ratio": params.augment.target_ratio,
            "target_reached": bool(reached),
            "limit": "" if reached else planned.limit or distribution.LOST_BY_TRANSFORMS,
        },
    )


def _sheet(refined: Dataset, train: list[str], variants: list, scheme: Scheme) -> None:
    """Contact sheet: the first parents, each with its first variants."""
    augmented = Dataset(AUGMENTED)
    parents = [case for case in train if any(variant.parent == case for variant in variants)]
    rows = []
    for parent in (parents or train)[:SHEET_PARENTS]:
        own = [variant for variant in variants if variant.parent == parent][:SHEET_VARIANTS]
        tiles = [_tile(refined, parent, parent, scheme)]
        rows.append(
            tiles + [_tile(augmented, one.name, f"{one.name}\n{one.levels}", scheme) for one in own]
        )
    figures.write_contact_sheet(REPORTS / "figures" / "augmentation_sheet.png", rows, scheme)


def _tile(source: Dataset, case: str, caption: str, scheme: Scheme) -> figures.Tile:
    roots = read_labels(source.labels(case, scheme)) if source.has(case, scheme) else None
    return caption, read_image(source.image(case)), roots


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
