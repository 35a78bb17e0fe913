"""What the other stages wrote, each file of which may not be there yet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spinalroots.files import read_json


@dataclass(frozen=True)
class Inputs:
    """Reads below a repository's root, where :mod:`spinalroots.registry.paths` says; everything
    missing is None or empty."""

    root: Path

    def table(self, name: Path) -> pd.DataFrame | None:
        """A CSV file; None if it is missing or empty."""
        path = self.root / name
        if not path.is_file() or not path.stat().st_size:
            return None
        try:
            table = pd.read_csv(path)
        except pd.errors.EmptyDataError:
            return None
        return table if len(table) else None

    def json(self, name: Path) -> Any | None:
        """A JSON file; None if it is missing."""
        path = self.root / name
        return read_json(path) if path.is_file() else None

    def files(self, folder: Path, *patterns: str) -> list[Path]:
        """Files of a folder that match any of the glob patterns, each once, sorted within a
        pattern."""
        found: dict[Path, None] = {}
        for pattern in patterns:
            found |= dict.fromkeys(sorted((self.root / folder).glob(pattern)))
        return list(found)
