"""A PostgreSQL of a test's own: a throw-away cluster on loopback."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from remote_servers import free_port

PASSWORD = "secret"


def programs() -> Path:
    """Folder of the newest PostgreSQL server here; the test is skipped where there is none."""
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL (spinalroots[servers])")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts)
    if not found and (other := shutil.which("initdb")):
        found = [Path(other)]
    if not found:
        pytest.skip("no PostgreSQL server here (Debian: postgresql; `make packages`)")
    return found[-1].parent


@contextmanager
def postgres() -> Iterator[str]:
    """URL of an empty data base; the server refuses root, so root starts it as somebody else."""
    folder, port, other = programs(), free_port(), {}
    user = getpass.getuser()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        (place / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            user = next(one for one in ("postgres", "nobody") if one in known_users())
            other = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
            for one in (place, place / "password"):
                shutil.chown(one, user)
        data, log = place / "data", (place / "log").open("w")
        subprocess.run(
            [
                *(folder / "initdb", "-D", data, "-U", "lab", "--pwfile", place / "password"),
                *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            cwd="/",
            stdout=log,
            stderr=log,
            **other,
        )
        server = subprocess.Popen(
            [
                *(folder / "postgres", "-D", data, "-p", str(port)),
                *("-c", "listen_addresses=127.0.0.1"),
                *("-c", "unix_socket_directories=", "-c", "fsync=off"),
            ],
            cwd="/",
            stdout=log,
            stderr=log,
            **other,
        )
        url = f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/postgres"
        try:
            _ready(url, server, place / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # ends its clients' sessions and then itself
            server.wait(30)
            log.close()


def known_users() -> set[str]:
    """Names of the accounts of this machine."""
    return {one.pw_name for one in pwd.getpwall()}


def _ready(url: str, server: subprocess.Popen, log: Path) -> None:
    import psycopg

    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
