"""From values per case to what may be said: mean ± SD, confidence interval, paired comparison."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

_DRAWN_AT_ONCE = 2**22
"""Values that the resamples in memory have together, whatever their number."""


@dataclass(frozen=True)
class Summary:
    """Of a metric over cases: count, mean, SD, and the 95 % bootstrap interval of the mean."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def summarise(values: np.ndarray, *, seed: int, resamples: int) -> Summary:
    """Mean, sample SD (n − 1) and percentile bootstrap interval over cases.

    :param values: one value per case (N,); NaN (absent from both) is left out.
    :param seed: of the resampling, so that the same values give the same interval.
    :param resamples: bootstrap resamples.
    :return: all NaN without a value; a single case has SD 0 and an interval of no width, which is
        all it can tell.

    Source: Efron 1979; percentile interval.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not values.size:
        return Summary(0, *[float("nan")] * 4)
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    low, high = bootstrap_interval(values, seed=seed, resamples=resamples)
    return Summary(int(values.size), float(values.mean()), sd, low, high)


def bootstrap_interval(
    values: np.ndarray, *, seed: int, resamples: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (N,), cases drawn with replacement."""
    if len(values) == 1:
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _DRAWN_AT_ONCE // len(values)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng([seed, len(values)]),
    ).confidence_interval
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Comparison:
    """Of two models on the same cases; differences are first minus second."""

    n: int
    mean_difference: float
    low: float
    high: float
    p_value: float
    effect_size: float


def compare(first: np.ndarray, second: np.ndarray, *, seed: int, resamples: int) -> Comparison:
    """Paired comparison of two models' values on the same cases.

    :param first: values (N,) of one model, a case each.
    :param second: values (N,) of the other, the same cases in the same order. Pairs with a NaN are
        left out.
    :return: mean difference with its 95 % bootstrap interval; two-sided Wilcoxon signed-rank p
        value (1 if all pairs are equal); matched-pairs rank-biserial correlation as the effect
        size, from −1 (the second is always higher) to 1 (the first is). With n pairs p cannot fall
        below 2^(1−n): three cases never give less than 0.25.

    Sources: Wilcoxon 1945; Kerby 2014 (10.2466/11.IT.3.1) for the effect size.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    difference = difference[~np.isnan(difference)]
    if not difference.size:
        return Comparison(0, *[float("nan")] * 5)
    mean = float(difference.mean())
    low, high = bootstrap_interval(difference, seed=seed, resamples=resamples)
    p_value = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
    return Comparison(int(difference.size), mean, low, high, p_value, rank_biserial(difference))


def rank_biserial(difference: np.ndarray) -> float:
    """(sum of positive ranks − sum of negative ranks) ÷ sum of ranks, zeros left out; 0 if none."""
    difference = difference[difference != 0]
    count = difference.size
    if not count:
        return 0.0
    positive = stats.wilcoxon(difference, alternative="greater").statistic
    return float(4 * positive / (count * (count + 1)) - 1)
