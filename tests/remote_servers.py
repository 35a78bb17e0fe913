"""A folder, an OpenSSH server and an S3 service on loopback, each as a DVC remote."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SEPARATION = Path("/run/sshd")
"""Where a server that root starts wants an empty folder, which a booted Debian has."""


@dataclass
class Remote:
    """How a repository gets to a remote, and its objects as this machine sees them.

    `commands`: what a person types; `environment`: what the person's account holds beside.
    """

    commands: list[list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    client: object = None

    def objects(self) -> dict[str, int]:
        """`ab/cdef…` → bytes; in a folder that is written to, of what is still there."""
        if self.folder is not None:
            found = {}
            for path in self.folder.rglob("files/md5/*/*"):
                with suppress(FileNotFoundError):
                    found["/".join(path.parts[-2:])] = path.stat().st_size
            return found
        listed = self.client.list_objects_v2(Bucket="roots").get("Contents", [])
        return {"/".join(one["Key"].split("/")[-2:]): one["Size"] for one in listed}

    def write(self, name: str, content: bytes | None) -> None:
        """Another content of an object, or none at all."""
        if self.folder is None:
            key = f"study/files/md5/{name}"
            if content is None:
                self.client.delete_object(Bucket="roots", Key=key)
            else:
                self.client.put_object(Bucket="roots", Key=key, Body=content)
            return
        (store,) = self.folder.rglob("files/md5")
        (store / name).unlink(missing_ok=True)
        if content is not None:
            (store / name).parent.mkdir(exist_ok=True)
            (store / name).write_bytes(content)


def local(folder: Path) -> Remote:
    """A folder, as on a shared disk."""
    return Remote([["dvc", "remote", "add", "-d", "lab", str(folder / "store")]], folder=folder)


@contextmanager
def ssh(folder: Path) -> Iterator[Remote]:
    """OpenSSH's own server, not as a daemon, with keys and a configuration of its own."""
    if SSHD is None:
        pytest.skip("no sshd here (Debian: openssh-server; `make packages`)")
    if os.geteuid() == 0 and not SEPARATION.is_dir():
        SEPARATION.mkdir(mode=0o755)
    home, server = folder / "home" / ".ssh", folder / "server"
    for place in (home, server, folder / "store"):
        place.mkdir(parents=True, mode=0o700)
    for key in (home / "id_lab", server / "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    shutil.copy(home / "id_lab.pub", server / "authorized_keys")
    port = free_port()
    host_key = (server / "host_key.pub").read_text().rsplit(" ", 1)[0]
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    configuration = server / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {server / 'host_key'}\n"
        f"AuthorizedKeysFile {server / 'authorized_keys'}\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    log = (server / "log").open("w")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(configuration)], stderr=log)
    try:
        answering(port, process)
        user = getpass.getuser()
        yield Remote(
            [
                ["dvc", "remote", "add", "-d", "lab", f"ssh://{user}@127.0.0.1/{folder / 'store'}"],
                ["dvc", "remote", "modify", "--local", "lab", "port", str(port)],
                ["dvc", "remote", "modify", "--local", "lab", "keyfile", "~/.ssh/id_lab"],
            ],
            {"HOME": str(home.parent)},
            folder / "store",
        )
    finally:
        process.terminate()
        process.wait(10)
        log.close()


@contextmanager
def s3() -> Iterator[Remote]:
    """An S3 service that speaks the real protocol over HTTP (moto's server)."""
    server_of = pytest.importorskip("moto.server", reason="no S3 service here (moto[server])")
    import boto3

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="lab",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="roots")
        yield Remote(
            [
                ["dvc", "remote", "add", "-d", "lab", "s3://roots/study"],
                ["dvc", "remote", "modify", "lab", "endpointurl", url],
            ],
            keys,
            client=client,
        )
    finally:
        server.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answering(port: int, process: subprocess.Popen) -> None:
    """Wait until the server answers; fail if it ended instead."""
    for _ in range(200):
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers on port {port}")
