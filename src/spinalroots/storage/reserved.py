"""Data that a stage of a running pipeline reads is not changed under it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spinalroots.errors import InputError


@contextmanager
def reserved(path: Path, command: str) -> Iterator[None]:
    """Hold DVC's own lock of `path` for writing, as long as the block lasts.

    DVC hashes what a stage depends on after the stage has run: what came in meanwhile would count
    as read. Where there is no DVC repository, nothing is held.

    :param command: what a `dvc` that wants to read `path` meanwhile says it waits for.
    :raises InputError: a stage reads or writes `path`, or what it lies in, just now.
    """
    if not Path(".dvc").is_dir():
        yield
        return
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.rwlock import rwlock

    with Repo() as repo, ExitStack() as held:
        hardlink = repo.config["core"].get("hardlink_lock", False)
        place = [os.path.abspath(path)]
        try:
            held.enter_context(rwlock(repo.tmp_dir, repo.fs, command, [], place, hardlink))
        except LockError as error:
            by = " ".join(str(error).partition("blocked by:")[2].split("\n\n")[0].split())
            raise InputError(
                path,
                expected="data that no running stage reads",
                found=f"a pipeline that is at work on it: {by or error}",
                fix="Nothing was written. Run the same command again when it has ended.",
            ) from error
        yield
