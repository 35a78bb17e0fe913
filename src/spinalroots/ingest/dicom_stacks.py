"""What DICOM files hold, by their headers: stacks of slices that may be a scan.

A file may hold one slice or, enhanced, many; lack its preamble; lie anywhere below a folder, as on
a patient's CD. A stack is what one series has of one echo.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError

LEAST_SLICES = 5
"""A localiser has three or so."""
_DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR, which lists files and holds no image."""
_APART = ("TemporalPositionIdentifier", "AcquisitionNumber")
"""Header fields that tell volumes of one series apart, if slices of it lie at the same place."""


@dataclass(frozen=True)
class Slice:
    """`position` (3,) of its first voxel, `directions` (6,) of its rows and columns, LPS mm;
    `spacing` between rows and between columns in mm; `shape` rows, columns; `frame` of an enhanced
    file, None where the file is the slice; `uid` of its instance."""

    path: Path
    uid: str
    position: np.ndarray
    directions: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    frame: int | None = None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector (3,) in which slices are stacked."""
        return np.cross(self.directions[:3], self.directions[3:])

    @property
    def height(self) -> float:
        """Position along the normal in mm."""
        return float(self.position @ self.normal)

    @property
    def name(self) -> str:
        """For an error: the file, and the frame in it."""
        return str(self.path) if self.frame is None else f"{self.path}, frame {self.frame + 1}"


@dataclass(frozen=True)
class Stack:
    """Slices of one series and echo, as they come; `left_out` says why it is no scan, if so."""

    series: str
    number: str
    echo: str
    slices: tuple[Slice, ...]
    left_out: str = ""

    @property
    def files(self) -> list[Path]:
        """Its files, each once, in the order of the slices."""
        return list(dict.fromkeys(one.path for one in self.slices))

    @property
    def words(self) -> str:
        """How a list of several calls it; nothing that a person typed at the scanner."""
        first = self.slices[0]
        rows, columns = first.shape
        echo = f", echo {self.echo} ms" if self.echo else ""
        size = f"{len(self.slices)} slices of {rows}×{columns}"
        return f"series {self.number or '?'}{echo}: {size}, first {first.path.name}"


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its mark, or by its first tag where it has no preamble."""
    with path.open("rb") as stream:
        start = stream.read(132)
    if start[128:] == b"DICM":
        return True
    tagged = start[0:1] in (b"\2", b"\x08") and start[1:2] == start[3:4] == b"\0"
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return len(start) > 8 and tagged and (explicit or int.from_bytes(start[4:8], "little") < 256)


def stacks_of(files: Iterable[Path]) -> list[Stack]:
    """The stacks among DICOM files, by series number; files that hold no image are passed over.

    :raises InputError: a damaged file.
    """
    found: dict[tuple, list[tuple[Slice, dict]]] = defaultdict(list)
    for path in files:
        with told(path):
            header = _header(path)
            if header is None:
                continue
            number = str(header.get("SeriesNumber", "") or "")
            key = (str(header.get("SeriesInstanceUID", "")), number)
            for echo, one, more in _slices(path, header):
                found[(*key, echo)].append((one, _kind(header) | more))
    series = [_parts(key, members) for key, members in found.items()]
    stacks = [stack for parts in series for stack in parts]
    echoes: dict[str, set[str]] = defaultdict(set)
    for stack in stacks:
        echoes[stack.series].add(stack.echo)
    shown = [
        stack if len(echoes[stack.series]) > 1 else Stack(**{**vars(stack), "echo": ""})
        for stack in stacks
    ]
    return sorted(shown, key=lambda one: (one.number.zfill(6), one.series, one.echo.zfill(9)))


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn whatever pydicom makes of a damaged file in the block into words: it reads values when
    they are asked for, and raises what their bytes lead to."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            path,
            expected="complete DICOM files",
            found=f"a truncated or damaged one ({type(error).__name__}: {error})",
            fix="Copy or export the series again.",
        ) from error


def _header(path: Path):
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    meta = str(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID", ""))
    return None if meta == _DIRECTORY or "Rows" not in header else header


def _kind(header) -> dict:
    image_type = [str(part).upper() for part in header.get("ImageType", []) or []]
    modality = str(header.get("Modality", "") or "MR")
    kind = {"modality": modality, "localiser": "LOCALIZER" in image_type}
    return kind | {name: str(header.get(name, "") or "") for name in _APART}


def _slices(path: Path, header):
    """(echo, slice, what tells volumes apart) of every slice in a file."""
    shape, uid = (int(header.Rows), int(header.Columns)), str(header.get("SOPInstanceUID", ""))
    if "PerFrameFunctionalGroupsSequence" not in header:
        names = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        position, directions, spacing = (header.get(name) for name in names)
        yield _echo(header), _slice(path, uid, shape, position, directions, spacing, None), {}
        return
    shared = _first(header, "SharedFunctionalGroupsSequence")
    for number, own in enumerate(header.PerFrameFunctionalGroupsSequence):

        def of(group: str, value: str, own=own):
            for functional in (own, shared):
                part = _first(functional, group)
                if part is not None and part.get(value) is not None:
                    return part.get(value)
            return None

        time = of("FrameContentSequence", "TemporalPositionIndex")
        echo = of("MREchoSequence", "EffectiveEchoTime")
        position = of("PlanePositionSequence", "ImagePositionPatient")
        directions = of("PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = of("PixelMeasuresSequence", "PixelSpacing")
        told = {} if time is None else {"TemporalPositionIdentifier": str(time)}
        yield _text(echo), _slice(path, uid, shape, position, directions, spacing, number), told


def _first(header, name: str):
    items = None if header is None else header.get(name)
    return items[0] if items else None


def _slice(path: Path, uid: str, shape, position, directions, spacing, frame) -> Slice:
    if position is None or directions is None:
        raise InputError(
            path,
            expected="slices with a position and an orientation",
            found="slices without",
            fix="Export the series again from the scanner or the archive.",
        )
    rows, columns = map(float, spacing or (1.0, 1.0))
    one = Slice(
        path, uid, np.array(position, float), np.array(directions, float), (rows, columns), shape,
        frame,
    )  # fmt: skip
    numbers = [*one.position, *one.directions, rows, columns]
    if len(numbers) != 11 or not np.isfinite(numbers).all() or min(rows, columns, *shape) <= 0:
        raise InputError(
            one.name,
            expected="a position of 3 numbers, directions of 6, pixels of a size",
            found=f"{numbers} and {shape[0]}×{shape[1]} pixels",
            fix="Export the series again from the scanner or the archive.",
        )
    return one


def _echo(header) -> str:
    return _text(header.get("EchoTime"))


def _text(echo) -> str:
    return "" if echo in (None, "") else f"{float(echo):g}"


def _parts(key: tuple, members: Sequence[tuple[Slice, dict]]) -> list[Stack]:
    """One stack, or one a volume where a series has several at the same place."""
    for name in ("", *_APART):
        groups: dict[str, list[tuple[Slice, dict]]] = defaultdict(list)
        for one, more in members:
            groups[more.get(name, "")].append((one, more))
        apart = not name or min(map(len, groups.values())) >= LEAST_SLICES
        if apart and all(_once(group) for group in groups.values()):
            return [_stack(key, group) for _, group in sorted(groups.items())]
    return [_stack(key, members)]


def _once(members: Sequence[tuple[Slice, dict]]) -> bool:
    """Whether no two slices lie at the same place, and all are turned the same way."""
    places = {tuple(np.round([*one.position, *one.directions], 2)) for one, _ in members}
    return len(places) == len(members)


def _stack(key: tuple, members: Sequence[tuple[Slice, dict]]) -> Stack:
    kind = members[0][1]
    left_out = ""
    if kind["modality"] != "MR":
        left_out = f"modality {kind['modality']}, no MR image"
    elif kind["localiser"]:
        left_out = "a localiser"
    elif len(members) < LEAST_SLICES:
        left_out = f"{len(members)} slices only"
    series, number, echo = key
    return Stack(series, number, echo, tuple(one for one, _ in members), left_out)
