"""Where files of a data set lie: BIDS, the same in every room of `data/`.

<root>/participants.tsv
<root>/sub-01/anat/sub-01_T2w.nii.gz
<root>/derivatives/labels/sub-01/anat/sub-01_label-roots_mask.nii.gz      entity mask
                                      sub-01_label-levels_dseg.nii.gz     level map
                                      sub-01_label-individuals_dseg.nii.gz
                                      sub-01_label-tissues_dseg.nii.gz
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinalroots.dataset import label_tables
from spinalroots.errors import InputError
from spinalroots.files import write_json, write_text
from spinalroots.files.text import read_text
from spinalroots.registry.anatomy import Scheme

if TYPE_CHECKING:
    import pandas as pd

LABEL_SUFFIX = {
    Scheme.ENTITY: "label-roots_mask",
    Scheme.LEVELS: "label-levels_dseg",
    Scheme.INDIVIDUALS: "label-individuals_dseg",
    Scheme.TISSUES: "label-tissues_dseg",
}
FOREGROUND, NAME_CHANCE = "desc-foreground_probseg", "desc-name_probseg"
"""Beside a prediction: P(any root), and P(it has the right name) where a root was seen."""
UNTRAINED = "desc-untrained_dseg"
"""The labels of the same network before its training."""
MOST_COLUMNS = 1000
"""Of participants.tsv."""
ALL_ROOTS = "label-allroots_mask"
"""Every root in sight, named or not; the entity mask has those that are named."""
ANATOMY_MAP = "label-anatomy_dseg"
"""Beside a phantom's true maps: cord 1, CSF 2, fat 3, roots in the sac 4 and beyond it 5."""
CASE_NAME = re.compile(r"^sub-[0-9A-Za-z]+\Z")


@lru_cache(maxsize=8)
def _table(path: Path, _: int) -> pd.DataFrame:
    """A table as it was at that time; it is asked for with every case."""
    return pd.read_csv(path, sep="\t", dtype={"participant_id": str})


@dataclass(frozen=True)
class Dataset:
    """A BIDS data set below `root`; a case is named by its subject folder, such as ``sub-01``."""

    root: Path

    def cases(self) -> list[str]:
        """Names of all cases with a scan, sorted.

        :raises InputError: the folder is missing or holds no case.
        """
        found = self.cases_if_any()
        if not found:
            raise InputError(
                self.root,
                expected="at least one case (sub-…/anat/sub-…_T2w.nii.gz)",
                found="none",
                fix="Run `dvc repro`, `dvc pull`, or bring scans in with `spinalroots ingest`.",
            )
        return found

    def cases_if_any(self) -> list[str]:
        """As :meth:`cases`, but there may be none: a run without augmentation has no variants."""
        return sorted(
            path.name
            for path in Path(self.root).glob("sub-*")
            if CASE_NAME.match(path.name) and self.image(path.name).is_file()
        )

    def image(self, case: str) -> Path:
        """The case's scan."""
        return Path(self.root) / case / "anat" / f"{case}_T2w.nii.gz"

    def labels(self, case: str, scheme: Scheme | str) -> Path:
        """The case's label map of a scheme (which may not exist)."""
        name = f"{case}_{LABEL_SUFFIX[Scheme(scheme)]}.nii.gz"
        return Path(self.root) / "derivatives" / "labels" / case / "anat" / name

    def map(self, case: str, suffix: str) -> Path:
        """Another volume derived from the case's scan, such as ``desc-foreground_probseg``."""
        return self.labels(case, Scheme.ENTITY).with_name(f"{case}_{suffix}.nii.gz")

    def has(self, case: str, scheme: Scheme | str) -> bool:
        """Whether the case has that label map."""
        return self.labels(case, scheme).is_file()

    def sidecar(self, case: str) -> Path:
        """JSON beside the scan: how the case was made."""
        return Path(self.root) / case / "anat" / f"{case}_T2w.json"

    def participants(self) -> pd.DataFrame:
        """participants.tsv, indexed by ``participant_id``; empty if there is none.

        :raises InputError: it is no such table.
        """
        return self._participants(dtype={"participant_id": str})

    def participants_as_text(self) -> pd.DataFrame:
        """The same to the letter, every cell as text."""
        return self._participants(dtype=str, keep_default_na=False)

    def _participants(self, **how: Any) -> pd.DataFrame:
        import pandas as pd

        path = Path(self.root) / "participants.tsv"
        if not path.is_file():
            return pd.DataFrame(index=pd.Index([], name="participant_id"))
        try:
            text = read_text(path)
            if (columns := text.partition("\n")[0].count("\t")) > MOST_COLUMNS:
                raise ValueError(f"{columns} columns")
            table = pd.read_csv(io.StringIO(text), sep="\t", **how)
            return table.set_index("participant_id", verify_integrity=True)
        except (ValueError, KeyError) as error:
            raise InputError(
                path,
                expected="a table of tabs with a column participant_id, each case once",
                found=f"something else ({str(error).strip().splitlines()[0]})",
                fix="Mend it, or restore it with dvc checkout.",
            ) from error

    def looks(self) -> dict[str, str]:
        """Case → how a synthetic one was drawn, `physical` or `randomised`; of others nothing."""
        table = self.participants()
        return dict(table["look"].dropna()) if "look" in table else {}

    def write_description(self, name: str, participants: pd.DataFrame | None = None) -> None:
        """Write dataset_description.json, the look-up tables, and participants.tsv if given."""
        write_json(
            Path(self.root) / "dataset_description.json",
            {"Name": name, "BIDSVersion": "1.10.0", "GeneratedBy": [{"Name": "spinalroots"}]},
        )
        for scheme in (Scheme.LEVELS, Scheme.INDIVIDUALS, Scheme.TISSUES):
            write_text(
                Path(self.root) / "derivatives" / "labels" / f"{LABEL_SUFFIX[scheme]}.tsv",
                label_tables.bids(scheme),
            )
        if participants is not None:
            write_text(
                Path(self.root) / "participants.tsv",
                participants.rename_axis("participant_id").to_csv(sep="\t", lineterminator="\n"),
            )
