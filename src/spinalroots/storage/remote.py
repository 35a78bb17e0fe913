"""What a DVC remote holds of this commit's objects, held against what it should hold.

DVC moves the objects. It takes a remote at its word, though: where a folder's list (`.dir`) is, its
files are taken to be, and a file that a killed upload left half-written counts as
uploaded. So every object's size, or its hash, is compared here, and what is wrong is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spinalroots.errors import InputError

SHOWN = 5
"""So many names of objects a message gives."""
NOTHING_CONFIGURED = (
    "`dvc remote add -d NAME URL` (docs/remotes.md: a folder, SSH, S3), or build all: `make repro`"
)


@dataclass
class Faults:
    """Objects (hash → path in the repository) that a remote lacks, or holds damaged."""

    missing: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.missing or self.damaged)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "damaged": self.damaged}
        return "; ".join(
            f"{len(objects)} {kind} ({named(objects.values())})"
            for kind, objects in kinds.items()
            if objects
        )


def named(paths: Iterable[str]) -> str:
    """The first few paths, and how many more there are.

    >>> named(["b", "a"]), named("abcdefg")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    ordered = sorted(paths)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + more


@contextmanager
def opened(folder: Path, name: str = "") -> Iterator[tuple[Any, str]]:
    """DVC's repository in `folder`, and the name of the remote: `name`, or the configured default.

    What is downloaded is hashed before it is taken.

    :raises InputError: no repository, or no such remote.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    for library in ("dvc", "dvc_data", "dvc_objects"):  # one message of ours instead of tracebacks
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        with Repo(str(folder)) as plain:
            config = plain.config
            name = name or config["core"].get("remote") or ""
            known = sorted(config["remote"])
    except NotDvcRepoError as error:
        raise InputError(
            folder, expected="a DVC repository", found="none", fix="Run it in the clone."
        ) from error
    if name not in known:
        raise InputError(
            f"remote {name!r}" if name else "DVC remote",
            expected="a configured one",
            found=f"only {', '.join(known)}" if known else "none configured",
            fix=f"{NOTHING_CONFIGURED}.",
        )
    with Repo(
        str(folder), config={"core": {"remote": name}, "remote": {name: {"verify": True}}}
    ) as repo:
        yield repo, name


def wanted(repo: Any, name: str, targets: list[str]) -> dict[str, str]:
    """Hash → path in the repository of every object that this commit, or `targets`, stands on.

    Of a folder whose list is neither here nor in the remote only the list itself is known.
    """
    objects = {}
    for out in repo.index.targets_view(targets or None).outs:
        if not (out.use_cache and out.can_push and out.hash_info):
            continue
        objects[out.hash_info.value] = str(out)
        if out.hash_info.isdir:
            stores = (repo.cache.local, repo.cloud.get_remote_odb(name))
            for key, _, entry in _tree(stores, out.hash_info):
                objects[entry.value] = "/".join((str(out), *key))
    return objects


def _tree(stores: Iterable[Any], hash_info: Any) -> Iterable[tuple]:
    """A folder's list from the first store that has it unharmed; empty if none has."""
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    for store in stores:
        with suppress(FileNotFoundError, ObjectFormatError):
            return Tree.load(store, hash_info)
    return ()


def faults(repo: Any, name: str, objects: dict[str, str], *, hashes: bool = False) -> Faults:
    """What the remote lacks of `objects`, and what it holds with another size or content.

    Sizes are compared with this machine's cache, as far as it has the object.

    :param hashes: read every object in the remote and hash it.
    """
    from dvc_data.hashfile.hash import hash_file

    there, here = repo.cloud.get_remote_odb(name), repo.cache.local
    sizes = _sizes(there)
    found = Faults()
    for oid, path in objects.items():
        place = there.oid_to_path(oid)
        size = sizes.get(there.fs.parts(place)[-2:])
        if size is None:
            found.missing[oid] = path
        elif hashes or oid.endswith(".dir"):  # a folder's list may be written in more ways than one
            if hash_file(place, there.fs, "md5")[1].value != oid.removesuffix(".dir"):
                found.damaged[oid] = path
        elif here.fs.exists(own := here.oid_to_path(oid)) and here.fs.size(own) != size:
            found.damaged[oid] = path
    return found


def _sizes(store: Any) -> dict[tuple[str, str], int]:
    """The last two parts of an object's path → bytes, of every object in the store."""
    try:
        listed = store.fs.fs.find(store.path, detail=True)
    except FileNotFoundError:
        return {}
    if not isinstance(listed, dict):  # a folder of this machine is listed by name only
        listed = {path: store.fs.info(path) for path in listed}
    return {store.fs.parts(path)[-2:]: int(info["size"]) for path, info in listed.items()}


def send_again(repo: Any, name: str, found: Faults) -> Faults:
    """Upload what the remote lacks or holds damaged, as far as this machine has it unharmed.

    :returns: what could not be sent.
    """
    from dvc_data.hashfile.hash import hash_file

    there, here = repo.cloud.get_remote_odb(name), repo.cache.local
    left = Faults()
    for kind in ("missing", "damaged"):
        for oid, path in getattr(found, kind).items():
            own = here.oid_to_path(oid)
            if not here.fs.exists(own) or hash_file(own, here.fs, "md5")[
                1
            ].value != oid.removesuffix(".dir"):
                getattr(left, kind)[oid] = path
                continue
            if kind == "damaged":
                there.fs.remove(there.oid_to_path(oid))
            there.add(own, here.fs, oid, check_exists=False)
    return left


def lacking(repo: Any, objects: dict[str, str]) -> dict[str, str]:
    """Those of `objects` that this machine's cache has not got."""
    here = repo.cache.local
    return {oid: path for oid, path in objects.items() if not here.fs.exists(here.oid_to_path(oid))}


def url_of(repo: Any, name: str) -> str:
    """The remote's address as it is configured."""
    return str(repo.config["remote"][name]["url"])
