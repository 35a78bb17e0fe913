"""What a killed DVC leaves half-written or locked, told apart from a DVC that is at work.

DVC writes `dvc.lock` and its list of locks (`.dvc/tmp/rwlock`) in place, the first for a second and
more: a kill meanwhile leaves half of one, and every later `dvc` command stops at it. It also takes
any process that has the number of a dead one for that one.
"""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from spinalroots.errors import InputError
from spinalroots.files import write_bytes, write_json

DVC = {"dvc", f"{__package__.partition('.')[0]}.storage"}
"""Programs, and modules that Python runs, which use DVC's locks."""
ASIDE, COPIES = {"queue-worker", "--temp", "--queue"}, Path(".dvc/tmp/exps")
"""Words of a DVC that works in copies of the repository, and where these are."""
LOCK, KEPT, HELD = Path("dvc.lock"), Path(".dvc/tmp/dvc.lock.kept"), Path(".dvc/tmp/rwlock")


def keep(folder: Path = Path()) -> None:
    """At the start of a stage, when DVC waits for it: copy `dvc.lock`, forget locks of the dead.

    DVC itself forgets only those that are in its way, and takes the others for locks again as soon
    as a process has their number.
    """
    lock, kept = folder / LOCK, folder / KEPT
    if os.environ.get("DVC_STAGE") and lock.is_file() and kept.parent.is_dir():
        write_bytes(kept, lock.read_bytes())
        with suppress(OSError, ValueError, AttributeError, TypeError):
            _forget_the_dead(folder / HELD)


def _forget_the_dead(held: Path) -> None:
    guard = os.open(held.with_name(f"{held.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as DVC does around each change of it
        before = json.loads(held.read_text(encoding="utf-8"))
        writers, readers = before.get("write", {}), before.get("read", {})
        alive = {
            "write": {path: one for path, one in writers.items() if psutil.pid_exists(one["pid"])},
            "read": {
                path: living
                for path, some in readers.items()
                if (living := [one for one in some if psutil.pid_exists(one["pid"])])
            },
        }
        if alive != {"write": writers, "read": readers}:
            write_json(held, alive)
    finally:
        os.close(guard)


def mended(folder: Path = Path()) -> list[str]:
    """Put right what a killed DVC left in the repository at `folder`; what was done, in lines.

    :raises InputError: a DVC is at work there; nothing was touched.
    """
    folder = folder.resolve()
    if busy := next(at_work(folder), None):
        since = time.strftime("%H:%M", time.localtime(busy.create_time()))
        raise InputError(
            folder / HELD.parent,
            expected="no other DVC at work in this repository",
            found=f"process {busy.pid}, alive since {since}: {' '.join(busy.cmdline())}",
            fix=f"Wait until it has ended, or end it: kill {busy.pid}. Then run this again.",
        )
    return [*_unlocked(folder), *_whole_again(folder)]


def at_work(folder: Path) -> Iterator[psutil.Process]:
    """Other processes of DVC in `folder` that are alive; not those that work in copies of it."""
    own = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            line, here = one.cmdline(), Path(one.cwd())
            is_dvc = bool(DVC & {os.path.basename(word) for word in line[:4]})
            aside = bool(ASIDE & set(line)) or (folder / COPIES) in here.parents
            inside = here == folder or folder in here.parents
            if is_dvc and inside and not aside and one.pid not in own:
                yield one


def _unlocked(folder: Path) -> list[str]:
    path = folder / HELD
    if not path.is_file():
        return []
    try:
        left = json.loads(path.read_text(encoding="utf-8"))
        names = sorted({*left.get("write", {}), *left.get("read", {})})
    except (ValueError, AttributeError, TypeError):
        path.unlink()
        return [f"{HELD}: half-written by a DVC that was killed; removed."]
    if not names:
        return []
    path.unlink()
    shown = ", ".join(os.path.relpath(name, folder) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{HELD}: locks of a DVC that no longer lives ({shown}{more}); removed."]


def _whole_again(folder: Path) -> list[str]:
    path = folder / LOCK
    if not path.is_file() or _is_whole(path.read_bytes()):
        return []
    kept = folder / KEPT
    if kept.is_file() and _is_whole(kept.read_bytes()):
        write_bytes(path, kept.read_bytes())
        return [f"{LOCK}: half-written by a DVC that was killed; as before its last stage again."]
    told = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], cwd=folder, capture_output=True)
    if told.returncode == 0 and _is_whole(told.stdout):
        write_bytes(path, told.stdout)
        return [f"{LOCK}: half-written by a DVC that was killed; as in the last commit again."]
    path.unlink()
    return [f"{LOCK}: half-written by a DVC that was killed; removed, DVC finds its results again."]


def _is_whole(content: bytes) -> bool:
    """Whether a dvc.lock ends where an entry ends: DVC writes it from the top down."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        record = yaml.load(content.decode("utf-8"), loader)
        entries = [
            entry
            for stage in record["stages"].values()
            for kind in ("deps", "outs")
            for entry in stage.get(kind, [])
        ]
        commands = all(stage["cmd"] for stage in record["stages"].values())
        hashed = all(entry["path"] and entry[entry.get("hash", "md5")] for entry in entries)
        return bool(record["schema"]) and commands and hashed and content.endswith(b"\n")
    except (UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False
