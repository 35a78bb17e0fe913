"""Where MLflow's records lie.

The store is `mlflow.db` at the root of the real repository, also from `dvc exp run --temp` and
`--queue`, whose copies of the tree are thrown away; MLFLOW_TRACKING_URI from the environment wins.
"""

import os
from pathlib import Path


def repository_root() -> Path:
    """The real repository: DVC's word, else the nearest parent with a dvc.yaml, else here."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    here = Path.cwd().resolve()
    folders = (here, *here.parents)
    return next((folder for folder in folders if (folder / "dvc.yaml").is_file()), here)


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the sqlite store at the repository root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository_root() / 'mlflow.db'}"
