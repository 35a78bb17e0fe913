"""A model as one file that travels: written, checked and unpacked.

A zip whose entries are stored, not compressed, in a fixed order and with a fixed date, so that one
model is always the same bytes:

manifest.json                      format, version, name, and size and sha256 of every other file
package.json, model.json, …        the model's folder (:mod:`spinalroots.predict.package`)
card.md                            what it was trained and measured on, and what it is not fit for

The zip's comment ends with the sha256 of every byte before it, so that one changed byte anywhere,
in a header as in the weights, is noticed before anything is read. The hash guards against damage;
against a forger who seals the file anew stand the other checks: only names that a model has, each
once, plain files, no compression, sizes as the manifest says. Nothing in the file is a pickle.
"""

import json
import re
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, Literal

from pydantic import ValidationError

from spinalroots import __version__
from spinalroots.errors import InputError, require_file
from spinalroots.exports import description as export
from spinalroots.files import files_together, folder_in_one_piece
from spinalroots.files import sha256 as sha256_of_file
from spinalroots.files.text import parsed_json, read_some
from spinalroots.predict import package
from spinalroots.settings.base import Section

FORMAT: Final = 1
"""Of the file; another number is another layout, which this version cannot read."""
MANIFEST = "manifest.json"
SUFFIX = ".zip"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a model may be called: its folder is called so, too."""
REQUIRED = (MANIFEST, *package.FILES)
ALLOWED = (
    *REQUIRED,
    package.CARD,
    f"{package.EXPORT}/{export.DESCRIPTION}",
    *sorted({f"{package.EXPORT}/{name}" for names in export.FILES.values() for name in names}),
)
"""Every name that a model's file can have inside, in their order."""
FIX = "Get the file once more, or have it written again by `spinalroots models export`."
_SEAL = b"spinalroots model, sha256 of all before: "
_DIGITS = 64
_DATE = (1980, 1, 1, 0, 0, 0)
_TEXT = 64 * 2**20
"""Largest manifest that is read, bytes."""
_CHUNK = 2**20
_NO_ZIP = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError),
    *(ValueError, OSError, OverflowError, struct.error),
)
"""What Python's zipfile makes of a file that somebody has put together."""
_END_SIZE = 22
"""Bytes of the zip's last record, without its comment."""


class Content(Section):
    """Size (bytes) and sha256 of one file."""

    bytes: int
    sha256: str


class Manifest(Section):
    """The content of `manifest.json`; `files`: name → what it is, the manifest left out."""

    format: Literal[1]
    spinalroots: str
    name: str
    files: dict[str, Content]


def write(folder: Path, file: Path) -> None:
    """Write the model in `folder` as one file; nothing is replaced.

    :raises InputError: the folder holds no whole model, or `file` is there already.
    """
    folder, file = Path(folder), Path(file)
    if file.suffix.lower() != SUFFIX:
        raise InputError(
            file,
            expected=f"a name that ends in {SUFFIX}",
            found=f"{file.suffix or 'no ending'}",
            fix=f"Call it {file.with_suffix(SUFFIX)}.",
        )
    package.read(folder)
    with files_together(file.absolute().parent, of=None) as staging:
        pack(folder, staging / file.name, name_of(folder))


def name_of(folder: Path) -> str:
    """The name that a model's `model.json` gives it.

    :raises InputError: it is no name that a folder could have.
    """
    path = require_file(folder / "model.json", expected="a trained network", fix=FIX)
    try:
        name = parsed_json(read_some(path))["name"]
    except (ValueError, KeyError, TypeError) as error:
        found = f"none that can be read ({type(error).__name__}: {error})"
        raise InputError(path, expected="a model's name", found=found, fix=FIX) from error
    return _named(path, name)


def pack(folder: Path, file: Path, name: str) -> None:
    """Write what a model consists of; other files of the folder stay behind.

    :param folder: a model's.
    :param file: in a place of the caller's own; a file that is there is replaced.
    """
    inside = [one for one in ALLOWED if one != MANIFEST and (folder / one).is_file()]
    if not package.read(folder).export:
        inside = [one for one in inside if not one.startswith(f"{package.EXPORT}/")]
    for one in package.FILES:
        require_file(folder / one, expected="a file that a model consists of", fix=FIX)
    described = Manifest(
        format=FORMAT,
        spinalroots=__version__,
        name=name,
        files={
            one: Content(bytes=(folder / one).stat().st_size, sha256=sha256_of_file(folder / one))
            for one in inside
        },
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _SEAL + b"0" * _DIGITS
        text = json.dumps(described.model_dump(mode="json"), indent=2) + "\n"
        archive.writestr(_entry(MANIFEST), text)
        for one in inside:
            with (folder / one).open("rb") as source, archive.open(_entry(one), "w") as target:
                for chunk in _chunks(source):
                    target.write(chunk)
    digest = _sealed(file)
    with file.open("r+b") as stream:
        stream.seek(-_DIGITS, 2)
        stream.write(digest.encode())


def check(file: Path) -> Manifest:
    """The manifest of a model's file, all of whose bytes are as they were written.

    :raises InputError: no such file, another kind of file, one that was changed, or one that holds
        what no model does.
    """
    with _opened(file) as (_, manifest):
        return manifest


def unpack(file: Path, folder: Path) -> Manifest:
    """Write the model's folder into the empty `folder`.

    :raises InputError: as :func:`check`.
    """
    with _opened(file) as (archive, manifest):
        for name, content in manifest.files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            digest, written = sha256(), 0
            with archive.open(name) as source, path.open("wb") as target:
                for chunk in _chunks(source):
                    digest.update(chunk)
                    written += len(chunk)
                    target.write(chunk)
            if (written, digest.hexdigest()) != (content.bytes, content.sha256):
                raise _refused(file, f"{name} as the manifest says", "another one")
        package.read(folder)
        return manifest


def bring_in(file: Path, models_root: Path, name: str | None = None) -> tuple[Path, bool]:
    """Unpack a model below `models_root`, where it has a name from then on.

    :param name: another one than its own.
    :return: its folder, and whether it is new; the same model may be there already.
    :raises InputError: as :func:`check`, or another model has that name.
    """
    manifest = check(file)
    folder = Path(models_root) / _named(Path("--name"), name or manifest.name)
    if folder.exists() or folder.is_symlink():
        if _same(folder, manifest):
            return folder, False
        raise InputError(
            folder,
            expected="no folder of that name yet, or one with the same model",
            found="something else, which would be lost",
            fix="Give the model another name with --name.",
        )
    with folder_in_one_piece(folder) as staging:
        unpack(file, staging)
    return folder, True


def _same(folder: Path, manifest: Manifest) -> bool:
    return all(
        (folder / name).is_file() and sha256_of_file(folder / name) == content.sha256
        for name, content in manifest.files.items()
    )


def unpacked(file: Path) -> Path:
    """The model's folder for as long as this process lasts, in a temporary place.

    :raises InputError: as :func:`check`.
    """
    return _unpacked(Path(file).absolute(), sha256_of_file(_found(file)))


_TEMPORARY: list[tempfile.TemporaryDirectory] = []
"""Removed when the process ends."""


@cache
def _unpacked(file: Path, _: str) -> Path:
    manifest = check(file)
    place = tempfile.TemporaryDirectory(prefix="spinalroots-model-")
    folder = Path(place.name) / manifest.name
    folder.mkdir()
    try:
        unpack(file, folder)
    except BaseException:
        place.cleanup()
        raise
    _TEMPORARY.append(place)
    return folder


@contextmanager
def _opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """The file with its manifest, after every check that needs no unpacking."""
    file = _found(file)
    seal = _SEAL + _sealed(file).encode()
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(max(0, size - len(seal) - _END_SIZE))
        end = stream.read()
    if not (end.startswith(b"PK\5\6") and end[_END_SIZE:].startswith(_SEAL)):
        raise _refused(file, "a model's file", "another one, or one that was cut short")
    if end[_END_SIZE:] != seal:
        raise _refused(file, "the file as it was written", "one whose bytes have changed since")
    try:
        with zipfile.ZipFile(file) as archive:
            _require_plain(file, archive.infolist(), size)
            yield archive, _manifest(file, archive)
    except _NO_ZIP as error:
        raise _refused(file, "a model's file", f"a zip that cannot be read ({error})") from error


def _require_plain(file: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what no model's file has: foreign or doubled names, links, compression, overlaps."""
    if len(entries) > len(ALLOWED):
        raise _refused(file, f"at most {len(ALLOWED)} files inside", str(len(entries)))
    names = [entry.filename for entry in entries]
    foreign = [name for name in names if name not in ALLOWED]
    if foreign:
        raise _refused(file, "nothing but a model's files inside", repr(foreign[0]))
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise _refused(file, "each name once", f"{doubled[0]} {names.count(doubled[0])} times")
    for entry in entries:
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.is_dir():
            raise _refused(file, "plain files inside", f"{entry.filename}, which is none")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise _refused(file, "files stored as they are", f"{entry.filename}, packed otherwise")
        if entry.compress_size != entry.file_size:
            raise _refused(file, "true sizes", f"{entry.filename} of two sizes")
    if sum(entry.file_size for entry in entries) > size:
        raise _refused(file, "files side by side", "files that lie over one another")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise _refused(file, f"{', '.join(REQUIRED)} inside", f"no {missing[0]}")


def _manifest(file: Path, archive: zipfile.ZipFile) -> Manifest:
    entry = archive.getinfo(MANIFEST)
    if entry.file_size > _TEXT:
        raise _refused(file, f"a manifest of at most {_TEXT} bytes", f"{entry.file_size}")
    expected = f"a manifest of format {FORMAT}"
    try:
        record: Any = parsed_json(archive.read(MANIFEST))
        if isinstance(record, dict) and record.get("format") != FORMAT:
            raise InputError(
                file,
                expected=f"a model's file of format {FORMAT}",
                found=f"format {record.get('format')!r}",
                fix="Use the version of spinalroots that wrote it, "
                f"{record.get('spinalroots', 'which it does not say')}.",
            )
        manifest = Manifest.model_validate(record)
    except (ValueError, ValidationError) as error:
        words = str(error).splitlines()[0]
        raise _refused(file, expected, f"something else ({words})") from error
    names = [one for one in archive.namelist() if one != MANIFEST]
    if sorted(manifest.files) != sorted(names):
        raise _refused(file, "the files that the manifest names", ", ".join(names))
    for name, content in manifest.files.items():
        if archive.getinfo(name).file_size != content.bytes:
            raise _refused(file, f"{content.bytes} bytes of {name}", "another number")
    _named(file, manifest.name)
    return manifest


def _named(where: Path, name: object) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        expected = "a model's name: letters, digits, dots, dashes, at most 100"
        raise InputError(where, expected=expected, found=repr(name), fix="Give another name.")
    return name


def _found(file: Path) -> Path:
    return require_file(Path(file), expected="a model's file", fix="Check the path.")


def _refused(file: Path, expected: str, found: str) -> InputError:
    return InputError(file, expected=expected, found=found, fix=FIX)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = 3  # Unix, whatever this machine is: the same bytes everywhere
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _chunks(stream: IO[bytes]) -> Iterable[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _sealed(file: Path) -> str:
    """sha256 of all bytes of a file but its last :data:`_DIGITS`, hexadecimal."""
    digest, left = sha256(), file.stat().st_size - _DIGITS
    with file.open("rb") as stream:
        while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
