"""Stage `prepare_nnunet [ROW]`: refined and augmented cases → data/nnunet/ROW, planned."""

from spinalroots.compute.parallel import at_once
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases, with_map
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.nnunet import environment
from spinalroots.nnunet.raw_data import dataset_name, forget_files, write_raw_dataset
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import nnunet_row


def main(params: Params, row: str | None = None) -> None:
    """Export, fingerprint, plan and preprocess the data of one row of the comparison."""
    from spinalroots.nnunet.planner import plan, summary
    from spinalroots.nnunet.preprocess import preprocess, write_fingerprint

    model = nnunet_row(row)
    target = model.target(other_roots=params.nnunet.other_roots)
    split = read_json(paths.SPLIT)
    sources = [Dataset(paths.REFINED), *([Dataset(paths.AUGMENTED)] if model.augmented else [])]
    training, lacking = with_map(training_cases(split["train"], sources), target.scheme)
    held_out = training_cases(split["validation"], sources[:1])
    validation, lacking_too = with_map(held_out, target.scheme)
    if lacking or lacking_too:
        print(f"{model.row}: left out for want of a map: {', '.join(lacking + lacking_too)}")

    name = dataset_name(model)
    # The small planner's resampling is quicker than starting processes for it.
    prefer = "processes" if params.nnunet.plan.planner == "resenc_m" else "threads"
    with (
        folder_in_one_piece(paths.NNUNET / model.row) as root,
        environment.folders(root, workers=1),
    ):
        raw, preprocessed = root / "raw" / name, root / "preprocessed" / name
        write_raw_dataset(raw, target, training, validation)
        workers = max(1, params.workers // at_once())
        write_fingerprint(raw, preprocessed, workers, prefer)
        plans = plan(name, params.nnunet.plan)
        chosen = environment.CONFIGURATION
        preprocess(raw, preprocessed, plans, chosen, workers, prefer)
        forget_files(raw, preprocessed)
        print(f"{model.row}: {len(training)} training cases, {summary(plans, chosen)}")
