"""Files added to a person's folder."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.files.folders import OVER, move_up, staging
from spinalroots.files.listing import LIST, append, listed, names, wrote
from spinalroots.files.single import locked, sha256, told, write_json


@contextmanager
def files_together(
    folder: Path, *, of: str | None, replacing: Collection[str] = ()
) -> Iterator[Path]:
    """Yield an empty folder; on success its files, sub-folders too, move into a person's `folder`.

    All other files of `folder` stay. A file of the same name is replaced only if an earlier run
    made it of the same source and nobody has changed it since; else nothing is written at all.
    What an earlier run made of the same source and this one does not make is removed, unless
    changed. When the body raises or is killed, the folder is as it was (killed in the very last
    moment, among the renames: all new files are there as soon as the next run begins in it).

    :param of: the command and its source, such as ``"predict scan.nii.gz <SHA-256>"``: a file of
        another source under the same name may be another person's. None: no list is kept, and
        nothing but `replacing` is ever replaced.
    :param replacing: names, relative to `folder`, that are replaced whoever wrote them: their
        content was read and goes on in the new ones, or a person asked for it.
    :raises InputError: naming the file in the way, or what keeps the folder from being written.
    """
    folder = Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with staging(folder) as place:
            yield place / "new"
            with told(folder):
                _add(place, folder, of, replacing)
    except BaseException:
        for path in missing:
            with suppress(OSError):  # others have written there meanwhile
                path.rmdir()
        raise


def _add(place: Path, folder: Path, of: str | None, replacing: Collection[str]) -> None:
    """List the files of ``place/new``, then move them up: one process at a time."""
    new, ready = place / "new", place / "ready"
    lock = locked(folder / LIST)
    try:
        before = listed(folder)
        digests = {name: sha256(new / name) for name in names(new)}
        asked = [name for name in digests if name not in replacing]
        require_free(folder, asked, of=of, digests=digests)
        over = {name: sha256(folder / name) for name in digests if (folder / name).is_file()}
        write_json(place / OVER, over)
        if of is not None:
            lines = [{"file": name, "sha256": digest, "of": of} for name, digest in digests.items()]
            append(folder, [line for line in lines if line not in before.get(line["file"], [])])
        os.replace(new, ready)  # from here on, the next run would finish what a kill cuts off
        move_up(ready, folder)
        for name in before.keys() - digests.keys():
            if wrote(before[name], folder / name, of):
                (folder / name).unlink()
    finally:
        if not os.fstat(lock).st_size:
            (folder / LIST).unlink(missing_ok=True)
        os.close(lock)


def require_free(
    folder: Path, files: Iterable[str], *, of: str | None, digests: Mapping[str, str] | None = None
) -> None:
    """Refuse, also before long work, what :func:`files_together` would refuse at its end.

    :param files: names to come, relative to `folder`.
    :param digests: their SHA-256, once it is known: the same content is not in the way.
    :raises InputError: naming the first file in the way.
    """
    lines = listed(folder)
    for name in files:
        path, own = Path(folder) / name, lines.get(name, [])
        if not os.path.lexists(path) or wrote(own, path, of):
            continue
        if digests and path.is_file() and sha256(path) == digests[name]:
            continue
        others = [line["of"] for line in own if wrote([line], path, line["of"])]
        raise InputError(
            path,
            expected="no file of that name, or what an earlier run made of the same source",
            found=f"a result of something else ({others[-1]})"
            if others
            else "a file that this program did not write, or that was changed since",
            fix="It stays as it is, and nothing was written. Give another folder, or move the file "
            "to another place.",
        )
