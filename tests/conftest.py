"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spinalroots.imaging.volume import Volume
from spinalroots.pipeline import params as parameters

collect_ignore = ["fuzz"]
"""What is run by hand, with a library of its own."""

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "real"


def pytest_collection_modifyitems(items) -> None:
    """Whole pipelines first: files run side by side, and the longest must not begin last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _no_home_store(tmp_path, monkeypatch):
    """A test that logs to MLflow does so in its own folder, never in the checkout."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture(scope="session")
def smoke_params() -> parameters.Params:
    """The project's own parameters at smoke scale."""
    return parameters.load(ROOT / "params.yaml", scale="smoke")


@pytest.fixture(scope="session")
def real_scans() -> dict[str, Path]:
    """Real scans by name; the test is skipped where they are absent."""
    scans = {
        "lumbar": REAL / "lumbar" / "t2_lumbar.nii.gz",
        "cervical": REAL / "cervical" / "t2.nii.gz",
    }
    if not all(path.is_file() for path in scans.values()):
        pytest.skip(f"no real scans in {REAL}")
    return scans


@pytest.fixture
def small_scan() -> Volume:
    """Random voxels on a slightly oblique, anisotropic RAS+ grid."""
    angle = np.deg2rad(7)
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * [0.8, 0.9, 2.0]
    affine[:3, 3] = [-12.5, 31.0, -80.0]
    data = np.random.default_rng(0).normal(100, 20, (9, 11, 7)).astype(np.float32)
    return Volume(data, affine)


@pytest.fixture
def raw(tmp_path) -> Path:
    """data/raw/ingested with one case in it."""
    from lab_scans import lab_folder

    from spinalroots.ingest import ingest, plan

    root = tmp_path / "data" / "raw" / "ingested"
    ingest(plan(lab_folder(tmp_path / "earlier", seed=99), root), root)
    return root


@pytest.fixture
def stubbed_model(tmp_path, smoke_params, monkeypatch):
    """A model's folder; who loads it gets a stub for the network. Previews are no pictures."""
    from scan_files import stub_model

    from spinalroots.predict import batch, load
    from spinalroots.report import figures

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "package.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(load, "load", lambda *_: stub_model(smoke_params))
    monkeypatch.setattr(figures, "preview", lambda *_: b"png")
    batch.loaded.cache_clear()
    yield folder
    batch.loaded.cache_clear()
