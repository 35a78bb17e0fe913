"""How often each class occurs, before and after: counts, the table, the summary, the pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from spinalroots import pictures
from spinalroots.augment.balance import effective_classes, entropy, rarest_ratio
from spinalroots.dataset.layout import Dataset
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Scheme, Target, label_colour, label_names

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


_STAGE_COLOURS = {"raw": "#b8bec8", "refined": "#4c86c6", "augmented": "#e0803a"}


def write_distribution(path: Path, table: pd.DataFrame) -> None:
    """Bars per root, raw, refined and augmented: training cases above, voxels below."""
    individuals = table[table["scheme"] == str(Scheme.INDIVIDUALS)]
    shown = individuals if len(individuals) else table
    names = [label.replace("_", " ") for label in shown["label"]]
    place = np.arange(len(shown))
    figure = pictures.new_figure(max(8.0, 0.16 * len(shown) + 2.5), 6.2)
    axes = figure.subplots(2, 1, sharex=True)
    for axis, unit in zip(axes, ("cases", "voxels"), strict=True):
        for position, stage in enumerate(STAGES):
            axis.bar(
                place + 0.28 * (position - 1),
                shown[f"{stage}_{unit}"],
                width=0.28,
                color=_STAGE_COLOURS[stage],
                label=stage,
            )
        axis.set_ylabel(f"training {unit}")
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_yscale("symlog", linthresh=100)
    axes[0].legend(frameon=False, ncols=3)
    axes[0].set_title("How often each root occurs")
    axes[1].set_xticks(place, names, rotation=90, fontsize=7)
    axes[1].margins(x=0.01)
    pictures.save(path, figure)


TILE_WIDTH_INCH = 1.3

Tile = tuple[str, Volume, Volume | None]
"""Caption, scan, root labels (individuals or levels)."""


def write_contact_sheet(path: Path, rows: Sequence[Sequence[Tile]], scheme: Scheme) -> None:
    """Rows of an original and its variants: a coronal view, all roots projected onto it.

    All at the same scale, crops at their height in the original. Left is the patient's right, as
    radiologists look at a person.
    """
    columns = max((len(row) for row in rows), default=1)
    sizes = [np.array(scan.data.shape) * scan.spacing_mm for row in rows for _, scan, _ in row]
    widest, _, tallest = np.max(sizes, axis=0, initial=1.0)
    height = (TILE_WIDTH_INCH - 0.2) * tallest / widest + 0.5
    figure = pictures.new_figure(TILE_WIDTH_INCH * columns, min(height, 6.0) * max(len(rows), 1))
    axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, tiles in zip(axes, rows, strict=False):
        for axis, (caption, scan, roots) in zip(row, tiles, strict=False):
            width, _, height = np.array(scan.data.shape) * scan.spacing_mm
            bottom = scan.affine[2, 3] - tiles[0][1].affine[2, 3]
            axis.imshow(
                coronal_view(scan.data, None if roots is None else roots.data, scheme),
                extent=(0, width, bottom, bottom + height),
                origin="lower",
                interpolation="nearest",
            )
            axis.set_xlim(0, widest)
            axis.set_ylim(0, tallest)
            axis.set_title(caption, fontsize=6, loc="left", va="bottom")
    pictures.save(path, figure)


def coronal_view(image: np.ndarray, roots: np.ndarray | None, scheme: Scheme) -> np.ndarray:
    """(Z, X, 3) colours 0…1: the coronal slice with most root, every root projected onto it."""
    middle = image.shape[1] // 2
    if roots is not None and roots.any():
        middle = int((roots > 0).sum(axis=(0, 2)).argmax())
    low, high = np.percentile(image, (1, 99.5))
    grey = ((image[:, middle] - low) / max(high - low, 1e-6)).clip(0, 1)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if roots is not None:
        front = roots.max(axis=1)
        for value in np.unique(front[front > 0]).tolist():
            colour = np.array(label_colour(scheme, value)) / 255
            where = front == value
            picture[where] = 0.35 * picture[where] + 0.65 * colour
    return picture[::-1].transpose(1, 0, 2)
