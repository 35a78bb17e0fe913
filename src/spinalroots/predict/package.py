"""A model that carries everything: all that a prediction needs, in one folder.

model.safetensors, model.json, training.json   as the training left them
package.json                                   `format`, settings, where it all comes from
appearance.json                                what the training scans looked like
card.md                                        the same for people, with what was measured
export/                                        the recommended export, if there is one
"""

import shutil
from pathlib import Path
from typing import Any, Final, Literal

from spinalroots import __version__
from spinalroots.files import read_json, sha256, write_json
from spinalroots.predict.trained import CURVES, DESCRIPTION, WEIGHTS, TrainedModel
from spinalroots.quality import appearance
from spinalroots.settings.base import Section, read_record
from spinalroots.settings.dataset import CentrelineSearch
from spinalroots.settings.inference import AnyInference
from spinalroots.settings.results import Postprocess

FORMAT: Final = 1
"""Of the folder; another number is another layout, which this version cannot read."""
PACKAGE, EXPORT, CARD = "package.json", "export", "card.md"
FILES: Final = (PACKAGE, DESCRIPTION, WEIGHTS, CURVES, appearance.FILE)
"""What every model has."""
PROVENANCE = "provenance"
"""Key of a training's `model.json`: its data and code."""


class Settings(Section):
    """What decides a prediction besides the network."""

    centreline: CentrelineSearch
    inference: AnyInference
    postprocess: Postprocess


class Package(Section):
    """The content of `package.json`; `export`: name of the variant in export/, or None."""

    format: Literal[1]
    spinalroots: str
    settings: Settings
    export: str | None
    provenance: dict[str, Any]


def write(
    folder: Path,
    model: TrainedModel,
    settings: Settings,
    *,
    training_scans: Path,
    export: Path | None,
    card: Path | None = None,
) -> None:
    """Fill the empty `folder` with a whole model.

    :param training_scans: file of their appearance.
    :param export: folder of the export that a CPU is to run.
    :param card: what the model was trained and measured on, Markdown.
    :raises InputError: the training left something that could not be loaded again.
    """
    model.predictor()
    for name in (WEIGHTS, DESCRIPTION, CURVES):
        shutil.copyfile(model.folder / name, folder / name)
    shutil.copyfile(training_scans, folder / appearance.FILE)
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    if card is not None:
        shutil.copyfile(card, folder / CARD)
    if export is not None:
        shutil.copytree(export, folder / EXPORT)
    described = Package(
        format=FORMAT,
        spinalroots=__version__,
        settings=settings,
        export=None if export is None else export.name,
        provenance={"sha256": files, **read_json(model.folder / DESCRIPTION).get(PROVENANCE, {})},
    )
    write_json(folder / PACKAGE, described.model_dump(mode="json"))


def read(folder: Path) -> Package:
    """The description of a model's folder.

    :raises InputError: no such folder, no package, a damaged one, or one of another format.
    """
    return read_record(
        Path(folder) / PACKAGE,
        Package,
        expected=f"a packaged model of format {FORMAT}",
        fix="Run `dvc repro package` or `dvc pull`, or give another model's folder with -m.",
    )
