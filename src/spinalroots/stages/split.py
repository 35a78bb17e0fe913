"""Stage `split`: training, validation and test cases, by subject."""

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.split import split_cases
from spinalroots.files import write_json
from spinalroots.pipeline.params import Params
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.paths import REFINED, SPLIT


def main(params: Params) -> None:
    """Write data/split.json."""
    dataset = Dataset(REFINED)
    table = dataset.participants()
    cases = dataset.cases()
    looks = table["look"].dropna() if "look" in table else {}
    split = split_cases(
        {case: str(table.loc[case, "subject"]) for case in cases},
        {case: str(table.loc[case, "source"]) for case in cases},
        validation=params.split.validation,
        test=params.split.test,
        fold=params.split.fold,
        seed=params.seed,
        looks={case: str(looks.get(case, "")) for case in cases},
        levels_only=frozenset(c for c in cases if not dataset.has(c, Scheme.INDIVIDUALS)),
    )
    write_json(SPLIT, split)
