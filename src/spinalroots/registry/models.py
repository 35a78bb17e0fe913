"""The models that are trained and compared: the six rows of the paper's Table I, HarDNet, and the
two-stage ones, which find all roots first and then tell which is which.

The region rows come twice: as they are, and `alone`, to measure what the class `other roots` does.

Free of torch, so that the command line, the pipeline and the report can ask it at once.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.registry.anatomy import Region, Scheme, Target


@dataclass(frozen=True)
class Model:
    """One row of the comparison.

    `name` is also the folder below models/ and data/predictions/. `family`: nnunet, hardnet,
    anatomy, or named, which is a combination of two and no network of its own.
    """

    name: str
    family: str
    region: Region
    scheme: Scheme
    augmented: bool
    alone: bool = False
    """A region's model that never knows the class `other roots`: its neighbours are background."""

    @property
    def row(self) -> str:
        """The name without its family: what `bin/stage train_nnunet ROW` takes."""
        return self.name.removeprefix(f"{self.family}-")

    def target(self, *, other_roots: bool = False) -> Target:
        """The roots that count for this row; `other_roots` only matters for a region."""
        aware = other_roots and self.region is not Region.ALL and not self.alone
        return Target.of(self.scheme, self.region, other_roots=aware)

    @property
    def twin(self) -> str:
        """Name of the same model `alone`."""
        return f"{self.name}-alone"


def _nnunet(row: str, region: Region, scheme: Scheme, **others: bool) -> Model:
    return Model(f"nnunet-{row}", "nnunet", region, scheme, **{"augmented": True, **others})


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _nnunet("all-individuals-raw", Region.ALL, Scheme.INDIVIDUALS, augmented=False),
        _nnunet("all-individuals", Region.ALL, Scheme.INDIVIDUALS),
        _nnunet("all-levels", Region.ALL, Scheme.LEVELS),
        _nnunet("sacral-levels", Region.SACRAL, Scheme.LEVELS),
        _nnunet("lumbar-levels", Region.LUMBAR, Scheme.LEVELS),
        _nnunet("thoracic-levels", Region.THORACIC, Scheme.LEVELS),
        _nnunet("sacral-levels-alone", Region.SACRAL, Scheme.LEVELS, alone=True),
        _nnunet("lumbar-levels-alone", Region.LUMBAR, Scheme.LEVELS, alone=True),
        _nnunet("thoracic-levels-alone", Region.THORACIC, Scheme.LEVELS, alone=True),
        Model("hardnet-all-levels", "hardnet", Region.ALL, Scheme.LEVELS, augmented=True),
        Model("hardnet-anatomy", "anatomy", Region.ALL, Scheme.LEVELS, augmented=True),
        Model("nnunet-named", "named", Region.ALL, Scheme.LEVELS, augmented=True),
    )
}
"""Every model by name."""

HARDNET = MODELS["hardnet-all-levels"]
"""The one that is tuned and trained as HarDNet."""


ANATOMY = MODELS["hardnet-anatomy"]
"""The one that learns the whole anatomy from phantoms of its own, and names what it finds."""

NAMED = MODELS["nnunet-named"]
"""Roots as nnU-Net's `all-levels` found them, names as the anatomy network gives them."""

DEFAULT_MODEL = "hardnet-anatomy"
"""What `spinalroots predict` uses when nothing else is asked for."""


def nnunet_rows() -> list[Model]:
    """The models of the nnU-Net stages, in the order of the table."""
    return [model for model in MODELS.values() if model.family == "nnunet"]


def nnunet_row(row: str | None) -> Model:
    """The model of a row of the nnU-Net stages.

    >>> nnunet_row("all-levels").name
    'nnunet-all-levels'

    :raises InputError: no such row; the nearest one is named.
    """
    rows = {model.row: model for model in nnunet_rows()}
    if row not in rows:
        close = difflib.get_close_matches(row or "", rows, n=1)
        raise InputError(
            "row of an nnU-Net stage",
            expected=f"one of {', '.join(rows)}",
            found="none" if row is None else repr(row),
            fix=f"Did you mean {close[0]!r}?" if close else "Give one of these after the stage.",
        )
    return rows[row]


def models_below(folder: Path, stage: str) -> list[Model]:
    """The models that have a folder below `folder`, which `stage` writes.

    :raises InputError: none has.
    """
    found = [model for name, model in MODELS.items() if (folder / name).is_dir()]
    if not found:
        raise InputError(
            folder,
            expected="a folder for each model",
            found="none",
            fix=f"Run `dvc repro {stage}`.",
        )
    return found
