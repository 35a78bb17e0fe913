"""`push`, `pull` and `check`: what `make push` and `make pull` do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from spinalroots.errors import InputError
from spinalroots.storage import remote

_Given = TypeVar("_Given")
_FAULTS_OF_THE_PROGRAM = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
)


def pull(targets: list[str], name: str = "", folder: Path = Path()) -> list[str]:
    """Fetch `targets`, or all of this commit, and put it in place; lines that say what is left.

    What cannot be had is named after all the rest has come. Files that a person changed stay.

    :raises InputError: no remote or no way to it, objects that it lacks or holds damaged, files in
        the way.
    """
    from dvc.exceptions import CheckoutError, DvcException

    with remote.opened(folder, name) as (repo, name):
        where = f"remote {name} ({remote.url_of(repo, name)})"
        _require_known(repo, targets)
        _reach(repo, name, where)
        with suppress(DvcException, OSError, ValueError):  # told below, in one message
            repo.fetch(targets or None)
        missing = _try(where, lambda: _lacking(repo, name, targets))
        try:
            repo.checkout(targets or None, allow_missing=bool(missing))
        except CheckoutError as error:
            if not missing:
                raise InputError(
                    folder.resolve(),
                    expected="nothing of yours in the way",
                    found=f"changed files that pulling would replace: {error}",
                    fix="Keep them elsewhere or commit them, then pull again; "
                    "`dvc checkout --force` gives them up.",
                ) from error
        except DvcException as error:
            if not missing:
                raise InputError(
                    where,
                    expected="data that can be put in place",
                    found=str(error),
                    fix="Pull again.",
                ) from error
        if missing:
            found = _try(where, lambda: remote.faults(repo, name, missing))
            absent = f"{len(found.missing)} not there ({remote.named(found.missing.values())})"
            # A folder's list stays behind when one of its files does, and is hashed by itself.
            bad = {
                oid: path
                for oid, path in missing.items()
                if oid in found.damaged or not (oid in found.missing or oid.endswith(".dir"))
            }
            broken = f"{len(bad)} damaged ({remote.named(bad.values())})"
            parts = [text for text, some in ((absent, found.missing), (broken, bad)) if some]
            raise InputError(
                where,
                expected="every object of this commit",
                found="; ".join(parts),
                fix="All the rest is here. On a machine that has the data, `make push ARGS=--hash` "
                "sends it again; `dvc repro` makes it anew here.",
            )
        return [f"{target} is here" for target in targets] or _to_do(repo)


def push(
    targets: list[str], name: str = "", *, hashes: bool = False, folder: Path = Path()
) -> list[str]:
    """Upload `targets`, or all of this commit, and see that it arrived; what was done.

    :param hashes: read and hash every object there, instead of comparing sizes.
    :raises InputError: no remote or no way to it; objects that neither the remote nor this machine
        has unharmed.
    """
    from dvc.exceptions import DvcException

    with remote.opened(folder, name) as (repo, name):
        where = f"remote {name} ({remote.url_of(repo, name)})"
        _require_known(repo, targets)
        _reach(repo, name, where)
        try:
            count = repo.push(targets or None)
        except DvcException as error:
            raise InputError(
                where,
                expected="room and rights to write",
                found=str(error),
                fix="When the cause is mended, push again: it goes on where it stopped.",
            ) from error
        objects = remote.wanted(repo, name, targets)
        found = _try(where, lambda: remote.faults(repo, name, objects, hashes=hashes))
        done = [f"{count} objects sent to {where}"]
        if found:
            left = _try(where, lambda: remote.send_again(repo, name, found))
            left_now = remote.faults(repo, name, {**found.missing, **found.damaged})
            if left or left_now:
                raise InputError(
                    where,
                    expected="every object of this commit, there or here",
                    found=str(left or left_now),
                    fix="Push from a machine that has them, or make them anew: dvc repro.",
                )
            done.append(f"sent again, as the remote did not hold it rightly: {found}")
        return [*done, f"{len(objects)} objects are there"]


def check(name: str = "", *, hashes: bool = False, folder: Path = Path()) -> list[str]:
    """Hold the remote against this commit; nothing is changed.

    :param hashes: read and hash every object there, instead of comparing sizes.
    :raises InputError: no remote or no way to it; objects that it lacks or holds damaged.
    """
    with remote.opened(folder, name) as (repo, name):
        where = f"remote {name} ({remote.url_of(repo, name)})"
        _reach(repo, name, where)
        objects = _try(where, lambda: remote.wanted(repo, name, []))
        found = _try(where, lambda: remote.faults(repo, name, objects, hashes=hashes))
        if found:
            raise InputError(
                where,
                expected="every object of this commit",
                found=str(found),
                fix="On a machine that has the data, `make push ARGS=--hash` sends it again.",
            )
        how = "content" if hashes else "size"
        return [f"{len(objects)} objects of this commit are in {where}, compared by {how}"]


def _lacking(repo: Any, name: str, targets: list[str]) -> dict[str, str]:
    return remote.lacking(repo, remote.wanted(repo, name, targets))


def _to_do(repo: Any) -> list[str]:
    """What `dvc repro` would still do."""
    changed = sorted(repo.status())
    if not changed:
        return ["Data and models are here; `dvc repro` has nothing to do."]
    return [
        f"Data and models are here; `dvc repro` would run: {', '.join(changed)}",
        "(the lock is older than code or parameters; its results can be used as they are)",
    ]


def _require_known(repo: Any, targets: list[str]) -> None:
    """:class:`InputError` for a target that this commit does not have."""
    from dvc.exceptions import DvcException

    for target in targets:
        try:
            repo.stage.collect_granular(target)
        except DvcException as error:
            raise InputError(
                target,
                expected="data, a model or a stage that dvc.yaml or a .dvc file names",
                found="none of them",
                fix="Such as models/hardnet-anatomy; see `dvc list . models --dvc-only`.",
            ) from error


def _reach(repo: Any, name: str, where: str) -> None:
    """:class:`InputError` if there is no way to the remote."""
    store = _try(where, lambda: repo.cloud.get_remote_odb(name))
    _try(where, lambda: store.fs.exists(store.path))


def _try(where: str, action: Callable[[], _Given]) -> _Given:
    """The result of `action`; what a remote's library raises becomes an :class:`InputError`."""
    try:
        return action()
    except (InputError, *_FAULTS_OF_THE_PROGRAM):
        raise
    except Exception as error:  # each kind of remote has its own
        raise InputError(
            where,
            expected="an answer",
            found=f"{type(error).__name__}: {error}",
            fix="Check network, host, keys and rights (docs/remotes.md); nothing was changed.",
        ) from error
