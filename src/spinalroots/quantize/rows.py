"""From measurements to rows, Dice and what it lost against fp32 among them; the one to use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from spinalroots.metrics.overlap import dice, mean_present
from spinalroots.metrics.statistics import compare, summarise
from spinalroots.quantize.measure import Measurement
from spinalroots.registry.variants import REFERENCE, Precision, Runtime, Variant

RESAMPLES = 2000
"""Of the bootstrap over cases."""
SAME_SIZE, SAME_SIZE_MB = 1.2, 1.0
"""Exports up to a fifth or a megabyte larger than the smallest count as equally small, since
formats differ in what they store besides the weights; the fastest of them comes first. Fast is
what takes least time in the network: all else takes the same time, and would only blur it."""


@dataclass(frozen=True)
class Row:
    """One export of one model. Dice is binary: any target root against background.

    A change is the variant's Dice minus PyTorch fp32's on the same cases, with the 95 % bootstrap
    interval over cases; `agreement_with_fp32` is the Dice between the two predicted masks.
    `inference_s` is the median over cases and repeats. `validation_dice` and its change come from
    the cases that the recommendation is judged on; NaN for exports that did not come into question.
    """

    model: str
    precision: str
    runtime: str
    size_mb: float
    inference_s: float
    binary_dice_mean: float
    binary_dice_sd: float
    n_cases: int
    inference_s_min: float
    inference_s_max: float
    network_s: float
    load_s: float
    peak_memory_mb: float
    dice_change: float
    dice_change_low: float
    dice_change_high: float
    agreement_with_fp32: float
    size_ratio: float
    speed_ratio: float
    validation_dice_change: float = float("nan")
    validation_dice: float = float("nan")
    recommended: bool = False

    @property
    def variant(self) -> Variant:
        """Precision and runtime."""
        return Variant(Precision(self.precision), Runtime(self.runtime))

    @property
    def export(self) -> str:
        """Name of the export's folder."""
        return self.variant.name


TABLE = tuple(field.name for field in fields(Row))[:7]
"""Columns of table_quantization.csv; the details have all of them."""


def row(
    model: str,
    variant: Variant,
    size_mb: float,
    measured: Measurement,
    fp32: Measurement,
    fp32_size_mb: float,
    references: dict[str, np.ndarray],
    seed: int,
) -> Row:
    """The row of one export; `fp32` and `fp32_size_mb` are PyTorch fp32's.

    :param references: test case → true mask (X, Y, Z).
    """
    found, found_fp32 = scores(measured, references), scores(fp32, references)
    summary = summarise(found, seed=seed, resamples=RESAMPLES)
    change = compare(found, found_fp32, seed=seed, resamples=RESAMPLES)
    seconds = float(np.median(measured.inference_s))
    shapes = {case: references[case].shape for case in measured.masks}
    return Row(
        model=model,
        precision=str(variant.precision),
        runtime=str(variant.runtime),
        size_mb=size_mb,
        inference_s=seconds,
        binary_dice_mean=summary.mean,
        binary_dice_sd=summary.sd,
        n_cases=summary.n,
        inference_s_min=min(measured.inference_s),
        inference_s_max=max(measured.inference_s),
        network_s=float(np.median(measured.network_s)),
        load_s=measured.load_s,
        peak_memory_mb=measured.peak_memory_mb,
        dice_change=change.mean_difference,
        dice_change_low=change.low,
        dice_change_high=change.high,
        agreement_with_fp32=mean_present(
            dice(fp32.mask(case, shape), measured.mask(case, shape))
            for case, shape in shapes.items()
        ),
        size_ratio=fp32_size_mb / size_mb,
        speed_ratio=float(np.median(fp32.inference_s)) / seconds,
    )


def scores(measured: Measurement, references: dict[str, np.ndarray]) -> np.ndarray:
    """Binary Dice (N,) of every measured case; `references`: case → true mask."""
    true = {case: references[case] for case in measured.masks}
    return np.array([dice(mask, measured.mask(case, mask.shape)) for case, mask in true.items()])


def recommend(rows: list[Row], judge: Callable[[Row], float], max_dice_loss: float) -> Row:
    """The smallest export that loses at most `max_dice_loss` of fp32's Dice on validation cases.

    The validation cases decide and the test cases are only reported, so that the reported Dice
    stays an honest one. PyTorch fp32 itself is always admissible.

    :param rows: the exports of one model, PyTorch fp32 among them.
    :param judge: Dice change against PyTorch fp32 on the validation cases; NaN: unknown. Asked only
        for exports that come into question, because it takes a prediction.
    """
    left = list(rows)
    while True:
        smallest = min(row.size_mb for row in left)
        limit_mb = max(SAME_SIZE * smallest, smallest + SAME_SIZE_MB)
        small = [row for row in left if row.size_mb <= limit_mb]
        best = min(small, key=lambda row: (row.network_s, row.size_mb))
        if best.variant == REFERENCE or keeps_dice(judge(best), max_dice_loss):
            return best
        left.remove(best)


def keeps_dice(change: float, max_dice_loss: float) -> bool:
    """Whether a Dice change is within the limit; False for NaN."""
    return -change <= max_dice_loss


def as_record(
    chosen: Row, max_dice_loss: float, made_from: Mapping[str, str], judges: Sequence[str] = ()
) -> dict:
    """What recommended.json says of a model: the export's folder, and why it was chosen.

    :param made_from: file of the trained model → sha256.
    :param judges: the validation cases.
    """
    change = 0.0 if chosen.variant == REFERENCE else round(chosen.validation_dice_change, 5)
    return {
        "export": chosen.export,
        "precision": chosen.precision,
        "runtime": chosen.runtime,
        "size_mb": round(chosen.size_mb, 3),
        "dice_change_on_validation": change,
        "validation_dice": None
        if np.isnan(chosen.validation_dice)
        else round(chosen.validation_dice, 5),
        "validation_cases": list(judges),
        "max_dice_loss": max_dice_loss,
        "rule": "smallest export within the Dice loss limit; of equally small ones the fastest",
        "made_from": dict(made_from),
    }
