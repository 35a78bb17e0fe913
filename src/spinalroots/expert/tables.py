"""Table I and the expert's scores by region: what was measured beside what people said.

The simulated score and the human one stand in rows of their own.
"""

import pandas as pd

from spinalroots.expert.scores import ExpertScore, mean_per_case
from spinalroots.metrics.measurements import BINARY_DICE, SIMULATED_SCORE, regions_of
from spinalroots.metrics.tables import models_in, values_of
from spinalroots.registry.models import Model

TABLE_COLUMNS = (
    *("model", "region", "target", "augmented", "n_cases", "binary_dice_mean", "binary_dice_sd"),
    *("expert_score_mean", "expert_score_sd", "expert_score_source"),
)
SIMULATED, HUMAN = "simulated", "human"


def table_models(cases: pd.DataFrame, human: list[ExpertScore]) -> pd.DataFrame:
    """Table I: a row per model with the simulated expert score, and one more where humans scored.

    The human row's Dice is over the scored cases only, so that a row speaks of one set of cases.
    SD is the sample SD (n − 1), 0 for a single case.
    """
    rows = []
    for model in models_in(cases):
        dice = values_of(cases, model.name, BINARY_DICE, model.region)
        simulated = values_of(cases, model.name, SIMULATED_SCORE, model.region)
        rows.append(_row(model, dice, simulated, SIMULATED))
        given = mean_per_case(human, model.name, model.region)
        given = pd.Series(given, dtype=float).reindex(dice.index).dropna()
        if len(given):
            rows.append(_row(model, dice[given.index], given, HUMAN))
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def table_expert_scores(cases: pd.DataFrame, human: list[ExpertScore]) -> pd.DataFrame:
    """Expert score per model, region and source: the two sources in rows of their own."""
    rows = []
    for model in models_in(cases):
        for region in regions_of(model.region):
            simulated = values_of(cases, model.name, SIMULATED_SCORE, region)
            given = pd.Series(mean_per_case(human, model.name, region), dtype=float).reindex(
                sorted(set(cases["case"]))
            )
            for source, scores in ((SIMULATED, simulated), (HUMAN, given.dropna())):
                if len(scores):
                    mean, sd = _mean_sd(scores)
                    rows.append((model.name, str(region), source, len(scores), mean, sd))
    columns = ["model", "region", "expert_score_source", "n_cases", "mean", "sd"]
    return pd.DataFrame(rows, columns=columns)


def _row(model: Model, dice: pd.Series, scores: pd.Series, source: str) -> tuple:
    return (
        model.name,
        str(model.region),
        str(model.scheme),
        model.augmented,
        len(dice),
        *_mean_sd(dice),
        *_mean_sd(scores),
        source,
    )


def _mean_sd(values: pd.Series) -> tuple[float, float]:
    values = values.dropna()
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
