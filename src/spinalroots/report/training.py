"""Section about the networks: plans, tuning, training, energy."""

from collections.abc import Iterator

import numpy as np

from spinalroots.augment.balance import entropy, rarest_ratio
from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY, HARDNET, MODELS
from spinalroots.report import blocks, paper
from spinalroots.report.blocks import Drawing, Folded, Table, cell, missing, number
from spinalroots.report.charts import curves
from spinalroots.report.inputs import Inputs
from spinalroots.report.methods import pictures, table_of


@blocks.section("training", "Training")
def section(inputs: Inputs) -> Iterator:
    """How the networks were planned, tuned and trained, and what that took."""
    for family in ("nnunet", "hardnet", "anatomy"):
        title = paper.FAMILIES[family]
        yield _networks(inputs, family) or missing(f"trained {title}", f"train_{family}")
    yield from pictures(inputs, "tune_hardnet", "tuning picture", paths.TUNING, "**/*.png")
    for path in inputs.files(paths.TUNING, "*trials*.csv"):
        table = inputs.table(path.relative_to(inputs.root))
        if table is not None:
            yield Folded("Every trial of the tuning", [table_of(table)])
    yield from _balance(inputs)
    yield from _energy(inputs)
    yield from _learning_curves(inputs)


def _networks(inputs: Inputs, family: str) -> Table | None:
    """What each model.json says of its network: nnU-Net's plan, HarDNet's layout."""
    records = {}
    for name, model in MODELS.items():
        record = inputs.json(paths.MODELS / name / "model.json") if model.family == family else None
        if record is not None:
            own = {key: record[key] for key in ("parameters", "network", "input") if key in record}
            records[name] = _plain(record.get("plans_summary") or own)
    if not records:
        return None
    keys = list(dict.fromkeys(key for record in records.values() for key in record))
    headers = ["Plan", *[key.replace("_", " ") for key in keys]]
    rows = [
        (paper.title(MODELS[name]), *[cell(record.get(key)) for key in keys])
        for name, record in records.items()
    ]
    if len(rows) > 1:
        return Table(tuple(headers), rows, "nnU-Net's plans, from `models/*/model.json`.")
    pairs = list(zip(headers, rows[0], strict=True))[1:]
    return Table((rows[0][0], ""), pairs, "From its `model.json`.")


def _balance(inputs: Inputs) -> Iterator[Table]:
    """How rare the rarest root is: as annotated, on disk, and as HarDNet's training saw it."""
    planned = inputs.json(paths.AUGMENTATION) or {}
    rows = [
        (where, found["classes"], found["rarest_over_median"], found["entropy_nats"])
        for where, found in (
            ("refined cases", planned.get("before")),
            ("with augmented cases", planned.get("after")),
        )
        if found
    ]
    learnt = inputs.json(paths.MODELS / HARDNET.name / "training.json") or {}
    voxels = np.array([*learnt.get("seen_voxels", {}).values()][1:], float)
    if voxels.any():
        count = int((voxels > 0).sum())
        rows.append(("HarDNet's patches", count, rarest_ratio(voxels), entropy(voxels)))
    if rows:
        caption = (
            "Voxels of the rarest root over those of the median one, and Shannon entropy of their "
            "shares. Patches are placed on roots so that rare ones are seen more often than they "
            "are there (`hardnet.rarest_share`)."
        )
        headers = ("Where", "Classes", "Rarest ÷ median", "Entropy, nats", "of at most")
        shown = [
            (where, str(count), number(ratio), number(nats, 2), number(np.log(count), 2))
            for where, count, ratio, nats in rows
        ]
        yield Table(headers, shown, caption)


def _energy(inputs: Inputs) -> Iterator[Table]:
    """Time, energy and CO2 of every training."""
    rows, total = [], [0.0, 0.0, 0.0]
    for name, model in MODELS.items():
        record = inputs.json(paths.MODELS / name / "training.json") or {}
        if "energy_kwh" in record:
            values = [record.get(key) or 0.0 for key in ("seconds", "energy_kwh", "co2_kg")]
            total = [a + b for a, b in zip(total, values, strict=True)]
            rows.append((paper.title(model), *_shown(values), str(record.get("device", "–"))))
    if not rows:
        return
    rows.append(("Together", *_shown(total), ""))
    caption = (
        "Training time and the whole machine's energy while it lasted, in equal shares where "
        "models trained side by side, estimated by codecarbon; "
        "CO₂ by the electricity mix of the country in the parameters."
    )
    headers = ("Training", "Minutes", "Energy, Wh", "CO₂, g", "Device")
    yield Table(headers, rows, caption, strong_row=len(rows) - 1)


def _shown(values: list[float]) -> tuple[str, str, str]:
    seconds, kwh, kg = values
    return number(seconds / 60, 1), number(1000 * kwh, 2), number(1000 * kg, 2)


def _learning_curves(inputs: Inputs) -> Iterator[Drawing]:
    """nnU-Net's validation loss by epoch, a line per row; the anatomy networks' training loss."""
    lines = {}
    for name, model in MODELS.items():
        folds = (inputs.json(paths.MODELS / name / "training.json") or {}).get("folds") or []
        if folds and folds[0].get("val_losses"):
            lines[paper.title(model)] = folds[0]["val_losses"]
    if lines:
        yield Drawing(
            curves(lines, "epoch", "validation loss"),
            "Validation loss of the first fold by epoch (lower is better).",
        )
    record = inputs.json(paths.MODELS / ANATOMY.name / "training.json") or {}
    if record.get("losses"):
        yield Drawing(
            curves(record["losses"], "fifty steps", "training loss"),
            "The two networks of the anatomy model: what they learn from is made anew for each "
            "step, so that no sample comes twice.",
        )


def _plain(record: dict, depth: int = 0) -> dict[str, object]:
    """Numbers, words and short lists of a record, one level of nesting flattened."""
    found: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, dict) and depth == 0:
            found |= _plain(value, depth=1)
        elif isinstance(value, list) and 0 < len(value) <= 8 and all(map(_scalar, value)):
            found[key] = "×".join(map(cell, value))
        elif _scalar(value):
            found[key] = value
    return found


def _scalar(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= 30)
