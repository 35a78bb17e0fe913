"""How often each class occurs, before and after: counts, the table, the summary."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from spinalroots.augment.balance import effective_classes, entropy, rarest_ratio
from spinalroots.dataset.layout import Dataset
from spinalroots.registry.anatomy import Scheme, Target, label_names

STAGES = ("raw", "refined", "augmented")
LOST_BY_TRANSFORMS = "the plan reached the target, but transforms moved rare roots out of the grid"
COUNTED = (Scheme.INDIVIDUALS, Scheme.LEVELS)


def count_file(dataset: Dataset, case: str, scheme: Scheme) -> np.ndarray:
    """Voxels of each label value (256,) in a case's map; zeros where it has none."""
    import nibabel as nib

    if not dataset.has(case, scheme):
        return np.zeros(256, np.int64)
    data = np.asanyarray(nib.load(dataset.labels(case, scheme)).dataobj).astype(np.uint8)
    return np.bincount(data[data > 0], minlength=256)


def count_slices(labels: np.ndarray) -> np.ndarray:
    """Voxels of each label value in each axial slice: (Z, 256) of an (X, Y, Z) map."""
    depth = labels.shape[2]
    place = np.arange(depth, dtype=np.int64) * 256 + labels
    counts = np.bincount(place.ravel(), minlength=256 * depth).reshape(depth, 256)
    counts[:, 0] = 0
    return counts


def table(counts: dict[str, dict[Scheme, np.ndarray]]) -> pd.DataFrame:
    """One row per label that occurs: training cases and voxels, raw, refined and augmented.

    :param counts: stage (of :data:`STAGES`) → scheme → (cases, 256) voxels of each label value.
        `augmented` counts the refined cases and their variants together.
    """
    rows = []
    for scheme in COUNTED:
        for value, name in label_names(scheme).items():
            row: dict[str, object] = {"scheme": str(scheme), "label": name}
            for stage in STAGES:
                column = counts[stage][scheme][:, value]
                row[f"{stage}_cases"] = int((column > 0).sum())
                row[f"{stage}_voxels"] = int(column.sum())
            if any(row[f"{stage}_voxels"] for stage in STAGES):
                rows.append(row)
    columns = ["scheme", "label"]
    columns += [f"{stage}_{unit}" for stage in STAGES for unit in ("cases", "voxels")]
    return pd.DataFrame(rows, columns=columns)


def summary(counts: np.ndarray) -> dict:
    """Balance of the classes of (cases, classes) voxels."""
    voxels = counts.sum(axis=0)
    return {
        "cases": len(counts),
        "classes": int((voxels > 0).sum()),
        "entropy_nats": round(entropy(voxels), 4),
        "effective_classes": round(effective_classes(voxels), 3),
        "rarest_over_median": round(rarest_ratio(voxels), 4),
    }


def outcome(
    counts: dict[str, dict[Scheme, np.ndarray]], scheme: Scheme, *, target_ratio: float, limit: str
) -> dict:
    """Balance before and after, whether it reached its target, and what stopped it if not.

    :param counts: as for :func:`table`; `limit`: what stopped the plan, "" if nothing did.
    :returns: plain values; `absent` names the refined classes that no training case shows, which no
        augmentation can bring.
    """
    before = summary(counts["refined"][scheme])
    after = summary(counts["augmented"][scheme])
    totals = counts["augmented"][scheme].sum(axis=0)
    occurring = {
        name: totals[value] for value, name in label_names(scheme).items() if totals[value]
    }
    reached = after["rarest_over_median"] >= target_ratio
    return {
        "classes_of": str(scheme),
        "before": before,
        "after": after,
        "rarest": min(occurring, key=lambda name: occurring[name], default=""),
        "absent": [name for name in Target.of(scheme).names if name not in occurring],
        "target_ratio": target_ratio,
        "target_reached": int(reached),
        "limit": "" if reached else limit or LOST_BY_TRANSFORMS,
    }


def stack(rows: Iterable[np.ndarray]) -> np.ndarray:
    """(cases, 256) of the counts of some cases, which may be none."""
    rows = list(rows)
    return np.stack(rows) if rows else np.zeros((0, 256), np.int64)
