"""Stage `package`: trained networks become models that carry everything → models/<name>."""

from pathlib import Path

from tqdm import tqdm

from spinalroots.errors import InputError
from spinalroots.exports.description import read_description
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.pipeline.params import Params
from spinalroots.predict import package
from spinalroots.predict.trained import TrainedModel
from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY, models_below
from spinalroots.registry.variants import REFERENCE


def main(params: Params) -> None:
    """Package every model that was trained, with the export recommended for it."""
    models = models_below(paths.TRAINED, "train_nnunet train_hardnet")
    for name, family in tqdm([(model.name, model.family) for model in models], desc="package"):
        inference = getattr(params.inference, family)
        model = TrainedModel(paths.TRAINED / name, inference)
        settings = package.Settings(
            centreline=params.centreline, inference=inference, postprocess=params.postprocess
        )
        own = name == ANATOMY.name  # learns from phantoms of its own
        scans = paths.ANATOMY / paths.APPEARANCE.name if own else paths.APPEARANCE
        with folder_in_one_piece(paths.MODELS / name) as folder:
            export = recommended_export(name, model)
            card = paths.CARDS / f"{name}.md"
            package.write(
                folder,
                model,
                settings,
                training_scans=scans,
                export=export,
                card=card if card.is_file() else None,
            )


def recommended_export(name: str, model: TrainedModel) -> Path | None:
    """Folder of the export that `quantize` recommends, if there is one besides the network.

    One that is damaged or was made from other weights is said and left out.
    """
    record = read_json(paths.RECOMMENDED) if paths.RECOMMENDED.is_file() else {}
    chosen = record.get(name, {}).get("export", REFERENCE.name)
    if chosen == REFERENCE.name:
        return None
    folder = paths.EXPORTS / name / chosen
    try:
        read_description(folder, model.made_from)
    except InputError as error:
        tqdm.write(f"{name} is packaged without an export: {error}")
        return None
    return folder
