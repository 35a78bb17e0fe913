"""From measurements to rows: Dice, what it lost against fp32, and how alike the masks are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from spinalroots.metrics.overlap import dice, mean_present
from spinalroots.metrics.statistics import compare, summarise
from spinalroots.quantize.measure import Measurement
from spinalroots.registry.variants import Precision, Runtime, Variant

RESAMPLES = 2000
"""Of the bootstrap over cases."""


@dataclass(frozen=True)
class Row:
    """One export of one model. Dice is binary: any target root against background.

    A change is the variant's Dice minus PyTorch fp32's on the same cases, with the 95 % bootstrap
    interval over cases; `agreement_with_fp32` is the Dice between the two predicted masks.
    `inference_s` is the median over cases and repeats. `validation_dice_change` comes from the
    cases that the recommendation is judged on; NaN for exports that did not come into question.
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
