"""A training's run on an MLflow server: records in PostgreSQL, files behind an S3 API."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import mlflow
import pytest
from postgres_server import postgres
from processes import at_once
from remote_servers import Remote, free_port, s3
from test_hardnet_trainer import run as train

from spinalroots.pipeline import tracking


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[tuple[str, Remote]]:
    """URL of the data base behind the server that MLFLOW_TRACKING_URI names, and the S3 store."""
    pytest.importorskip("boto3", reason="no S3 client here (spinalroots[servers])")
    port = free_port()
    with postgres() as base, s3() as store:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1", "--backend-store-uri", base),
            *("--artifacts-destination", "s3://roots/mlflow"),
        ]
        log = (tmp_path / "log").open("wb")
        endpoint = {"MLFLOW_S3_ENDPOINT_URL": store.client.meta.endpoint_url}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **store.environment, **endpoint},
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        try:
            _healthy(url, process, tmp_path / "log")
            yield base, store
        finally:
            process.terminate()
            process.wait(30)
            log.close()


def _healthy(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(1200):
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(f"{url}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_trainings_end_on_the_server_with_all_their_steps_and_files(server, tmp_path):
    base, store = server

    def training(number: int) -> None:
        with tracking.run("hardnet", kind="training", params={"net": {"width": number}}):
            trained = train(tmp_path / str(number), log=tracking.resumed_log(), epochs=2)
            mlflow.log_dict({"epochs": trained.epochs}, "outcome.json")

    # Side by side, as rows of nnU-Net are: both find no experiment yet.
    assert at_once(lambda: training(1), lambda: training(2)) == [0, 0]
    assert rows(base, "select count(*) from experiments where name = 'spinalroots'") == [(1,)]
    told = rows(
        base,
        "select p.value, r.status, count(m.step) from runs r "
        "join params p on p.run_uuid = r.run_uuid and p.key = 'net.width' "
        "join metrics m on m.run_uuid = r.run_uuid and m.key = 'loss' group by 1, 2 order by 1",
    )
    assert told == [("1", "FINISHED", 2), ("2", "FINISHED", 2)]
    stored = store.client.list_objects_v2(Bucket="roots").get("Contents", [])
    kept = [one["Key"] for one in stored if one["Key"].endswith("outcome.json")]
    assert len(kept) == 2
    assert all(name.startswith("mlflow/") for name in kept)
    assert not (tmp_path / "mlruns").exists()


def rows(url: str, query: str) -> list[tuple]:
    """What the data base itself says."""
    import psycopg

    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()
