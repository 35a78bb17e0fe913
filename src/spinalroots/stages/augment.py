"""Stage `augment`: balanced variants of the training cases, with the plan and the distribution."""

import textwrap
from dataclasses import asdict

import numpy as np
import pandas as pd

from spinalroots.augment import dataset, distribution
from spinalroots.augment.balance import class_weights
from spinalroots.augment.dataset import Variant
from spinalroots.augment.planning import plan_dataset
from spinalroots.compute import arithmetic
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json, write_json, write_table
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.pipeline import provenance
from spinalroots.pipeline.params import Params
from spinalroots.pipeline.tracking import repository_root
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.settings.augment import Augment

REFINED, AUGMENTED = Dataset(paths.REFINED), Dataset(paths.AUGMENTED)
SHEET_PARENTS, SHEET_VARIANTS = 3, 5

Counts = dict[str, dict[Scheme, np.ndarray]]
"""Stage → scheme → (cases, 256) voxels of each label value in the training cases."""


def main(params: Params) -> None:
    """Plan, make and describe the augmented data set."""
    train = read_json(paths.SPLIT)["train"]
    plan = plan_dataset(REFINED, train, params.augment)
    write_table(paths.REPORTS / "augmentation_plan.csv", plan.table())
    cache = repository_root() / ".cache" / "augment"
    folders = {
        one.name: cache / variant_key(one, params.augment, params.seed) for one in plan.variants
    }
    dataset.make_all(
        REFINED, plan.variants, params.augment, params.seed, folders=folders, workers=params.workers
    )
    dataset.forget_unused(cache, used=folders.values())
    with folder_in_one_piece(AUGMENTED.root) as staging:
        dataset.collect(folders.values(), staging)
        counts = _count(params, train, Dataset(staging), plan.variants)
        Dataset(staging).write_description("Augmented cases", _participants(plan.variants))
        write_json(staging / "class_weights.json", _class_weights(counts))
    table = distribution.table(counts)
    write_table(paths.REPORTS / "class_distribution.csv", table)
    distribution.write_distribution(paths.FIGURES / "class_distribution.png", table)
    outcome = distribution.outcome(
        counts, plan.scheme, target_ratio=params.augment.target_ratio, limit=plan.balance.limit
    )
    write_json(paths.AUGMENTATION, outcome)
    _contact_sheet(train, plan.variants, plan.scheme)


def variant_key(variant: Variant, augment: Augment, seed: int) -> str:
    """Name of a variant in the cache: it changes with whatever the variant's bytes depend on."""
    told = {
        "variant": asdict(variant),
        "limits": augment.transforms.model_dump(),
        "seed": seed,
        "arithmetic": arithmetic.not_in_force("augment"),
    }
    parent = [REFINED.labels(variant.parent, scheme) for scheme in Scheme]
    files = [REFINED.image(variant.parent), *parent]
    return provenance.key([dataset.__name__], told, files)


def _count(
    params: Params, train: list[str], made: Dataset, variants: tuple[Variant, ...]
) -> Counts:
    raw = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    counts: Counts = {stage: {} for stage in distribution.STAGES}
    for scheme in distribution.COUNTED:
        refined = [distribution.count_file(REFINED, case, scheme) for case in train]
        augmented = [distribution.count_file(made, one.name, scheme) for one in variants]
        counts["raw"][scheme] = distribution.stack(
            distribution.count_file(raw[case], case, scheme) for case in train if case in raw
        )
        counts["refined"][scheme] = distribution.stack(refined)
        counts["augmented"][scheme] = distribution.stack(refined + augmented)
    return counts


def _participants(variants: tuple[Variant, ...]) -> pd.DataFrame:
    """As real or synthetic as the parent; `slices` lets a trainer draw cases by their size."""
    people = REFINED.participants()
    source = people["source"] if "source" in people else pd.Series(dtype=str)
    rows = [
        (one.name, one.parent, source.get(one.parent, "unknown"), one.last - one.first + 1)
        for one in variants
    ]
    columns = ["participant_id", "parent", "source", "slices"]
    return pd.DataFrame(rows, columns=columns).set_index("participant_id")


def _class_weights(counts: Counts) -> dict[str, dict[int, float]]:
    return {
        str(scheme): class_weights(dict(enumerate(counts["augmented"][scheme].sum(0).tolist())))
        for scheme in distribution.COUNTED
    }


def _contact_sheet(train: list[str], variants: tuple[Variant, ...], scheme: Scheme) -> None:
    """The parents with most variants, each with some of them: different crops before equal ones."""
    by_parent = {case: [one for one in variants if one.parent == case] for case in train}
    rows = []
    for parent in sorted(train, key=lambda case: -len(by_parent[case]))[:SHEET_PARENTS]:
        levels = pd.Series([one.levels for one in by_parent[parent]], dtype=str)
        turns = levels.groupby(levels).cumcount().sort_values(kind="stable").index
        own = [by_parent[parent][place] for place in turns[:SHEET_VARIANTS]]
        tiles = [_tile(AUGMENTED, one.name, _caption(one), scheme) for one in own]
        rows.append([_tile(REFINED, parent, parent, scheme), *tiles])
    distribution.write_contact_sheet(paths.FIGURES / "augmentation_sheet.png", rows, scheme)


def _caption(variant: Variant) -> str:
    """Name, levels, and the transforms that happened to it."""
    happened = read_json(AUGMENTED.sidecar(variant.name))["transforms"]
    words = ", ".join(name.replace("_", " ") for name in happened)
    return "\n".join([variant.name, variant.levels, *textwrap.wrap(words, 24)])


def _tile(source: Dataset, case: str, caption: str, scheme: Scheme) -> distribution.Tile:
    roots = read_labels(source.labels(case, scheme)) if source.has(case, scheme) else None
    return caption, read_image(source.image(case)), roots
