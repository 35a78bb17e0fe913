"""From the training cases on disk to the variants to make."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from spinalroots.augment.balance import Balance, crop_candidates, plan_variants
from spinalroots.augment.dataset import Variant
from spinalroots.augment.distribution import count_slices, stack
from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import read_labels
from spinalroots.registry.anatomy import LEVELS, Scheme, individuals_to_levels
from spinalroots.settings.augment import Augment


@dataclass(frozen=True)
class Plan:
    """The variants in the order of the plan, what they balance, and how the balance went."""

    variants: tuple[Variant, ...]
    scheme: Scheme
    balance: Balance

    def table(self) -> pd.DataFrame:
        """One row per variant: parent, purpose, crop, and the balance after it."""
        names = {"name": "case", "first": "first_slice", "last": "last_slice"}
        table = pd.DataFrame(self.variants, columns=[field.name for field in fields(Variant)])
        table = table.rename(columns=names)
        table["planned_rarest_over_median"] = [round(step.ratio, 4) for step in self.balance.steps]
        return table


def plan_dataset(source: Dataset, train: Sequence[str], augment: Augment) -> Plan:
    """Choose crops of the training cases that balance the roots, or the levels where no case has
    individual roots. Cases without that map are left as they are: nothing says what they add."""
    annotated = any(source.has(case, Scheme.INDIVIDUALS) for case in train)
    scheme = Scheme.INDIVIDUALS if annotated else Scheme.LEVELS
    candidates, voxels, start = [], [], np.zeros(256, np.int64)
    for case in train:
        if not source.has(case, scheme):
            continue
        labels = read_labels(source.labels(case, scheme))
        levels = labels.data if scheme is Scheme.LEVELS else individuals_to_levels(labels.data)
        margin = round(augment.crop_margin_mm / labels.spacing_mm[2])
        found = crop_candidates(case, count_slices(levels)[:, 1 : len(LEVELS) + 1], LEVELS, margin)
        per_slice = count_slices(labels.data)
        candidates += found
        voxels += [per_slice[one.first : one.last + 1].sum(axis=0) for one in found]
        start += per_slice.sum(axis=0)
    number = {case: place for place, case in enumerate(train)}
    balance = plan_variants(
        stack(voxels),
        [number[one.case] for one in candidates],
        start,
        variants=augment.variants,
        per_case=augment.variants_per_case,
        whole_per_case=augment.whole_per_case,
        target_ratio=augment.target_ratio,
    )
    made: Counter[str] = Counter()
    variants = []
    for step in balance.steps:
        one = candidates[step.candidate]
        made[one.case] += 1
        name = f"{one.case}aug{made[one.case]:02d}"
        variants.append(Variant(name, one.case, step.purpose, one.levels, one.first, one.last))
    return Plan(tuple(variants), scheme, balance)
