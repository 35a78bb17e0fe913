"""Stage `refine`: 120 classes to those that matter, flood fill into the entity mask, crop."""

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import write_json, write_table
from spinalroots.pipeline.params import Params
from spinalroots.refine.dataset import refine_dataset
from spinalroots.refine.summary import draw, gain_table, summary
from spinalroots.registry.paths import FIGURES, RAW, REFINED, REPORTS, TABLE_REFINEMENT, TRUTH


def main(params: Params) -> None:
    """Write data/refined, and what it gained into reports/."""
    results = refine_dataset(
        selected_cases(params.data, RAW), REFINED, Dataset(TRUTH), params.refine, params.workers
    )
    bare = [result.name for result in results if not result.refined]
    if bare:
        print(f"left out, as they have no root of the chosen classes: {', '.join(bare)}")
    blind = [result.name for result in results if not result.shows_unnamed]
    if blind:
        print(
            "no mask of all roots, and no tissue map with cord and CSF, so that roots without a "
            f"name are learnt as background: {', '.join(blind)}"
        )
    table = gain_table(results, params.refine)
    write_table(TABLE_REFINEMENT, table)
    write_json(REPORTS / "refinement.json", summary(results, table))
    draw(FIGURES / "refinement.png", results, table)
