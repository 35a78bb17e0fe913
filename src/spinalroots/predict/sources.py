"""What a person names on the command line → the scans in it, and what is left out and why."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spinalroots.errors import InputError
from spinalroots.files import sha256
from spinalroots.files.listing import listed
from spinalroots.imaging.opening import is_image, stem_of
from spinalroots.imaging.volume import Volume, read_image
from spinalroots.ingest import bids, dicom
from spinalroots.ingest.dicom_stacks import Slice, Stack, is_dicom
from spinalroots.ingest.names import is_aside, is_level_like, meaning_of, says_mask, words_of
from spinalroots.registry.anatomy import ROOTS


@dataclass(frozen=True)
class Source:
    """One scan that is to be segmented.

    `path`: its file, or the folder of its DICOM files; `stem`: how the names of its results begin;
    `folder`: where below the results' folder they go; `stack`: the DICOM files, if it is that;
    `bids`: whether it is one of a BIDS data set.
    """

    path: Path
    stem: str
    folder: Path = Path()
    stack: Stack | None = None
    bids: bool = False

    @property
    def name(self) -> str:
        """What messages and the scan's JSON call it."""
        if self.stack is None:
            return self.path.name
        return self.path.name if self.stem == self.path.name else self.stem

    @property
    def files(self) -> list[Path]:
        """What it is read from."""
        return [self.path] if self.stack is None else self.stack.files

    def sha256(self) -> str:
        """Of the file; of a DICOM stack, of the hashes of its files in the order of their names."""
        if self.stack is None:
            return sha256(self.path)
        parts = sorted(f"{path.name} {sha256(path)}" for path in self.files)
        return hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()

    def read(self, orientation: str | None = None) -> tuple[Volume, tuple[Slice, ...]]:
        """The scan in RAS+, and its DICOM slices in the order of its native third axis.

        :raises InputError: it cannot be used.
        """
        if self.stack is None:
            return read_image(self.path, orientation), ()
        if orientation is not None:
            raise InputError(
                "--orientation",
                expected="a scan whose header does not say how its axes run",
                found=f"DICOM, which does ({self.path})",
                fix="Leave it out.",
            )
        series = dicom.read_stack(self.stack, self.path)
        return series.scan, series.slices


@dataclass(frozen=True)
class Sources:
    """`scans` to do; `left`: what is no scan, or not meant, → why."""

    scans: list[Source] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def find(given: Sequence[Path]) -> Sources:
    """The scans in files and folders, each with a place of its own for its results.

    A folder is a BIDS data set, a DICOM series or several, or holds image files at any depth;
    masks by their names, and results of earlier runs, are left out.

    :raises InputError: nothing of that name, a folder without any scan, or two scans whose results
        would have the same names.
    """
    scans: list[Source] = []
    left: dict[str, str] = {}
    for path in map(Path, given):
        found = _of_folder(path) if path.is_dir() else _of_file(path)
        scans += found.scans
        left |= found.left
        if path.is_dir() and not found.scans:
            told = "; ".join(f"{name}: {why}" for name, why in list(found.left.items())[:8])
            raise InputError(
                path,
                expected="NIfTI, NRRD or MetaImage scans, a BIDS data set with T2w scans, or DICOM",
                found=f"no scan ({told})" if told else "none of them",
                fix="Check the path; give a file itself if its name looks like a mask's.",
            )
    return Sources(_apart(scans), left)


def _of_file(path: Path) -> Sources:
    if path.is_file() and not is_image(path) and is_dicom(path):
        # One enhanced file, or one slice of several, which is refused as such.
        return _of_stacks(path.parent, dicom.stacks_of([path]), path.stem)
    return Sources([Source(path, stem_of(path.name))])


def _of_folder(folder: Path) -> Sources:
    for root in (folder, folder / bids.RAW):
        if root.is_dir() and bids.is_bids(root):
            return _of_bids(root)
    stacks = dicom.stacks_below(folder)
    images = _images(folder)
    if stacks and not images.scans:
        return _of_stacks(folder, stacks)
    if stacks:
        images.left.update({str(one.files[0].parent): "DICOM beside images" for one in stacks})
    return images


def _of_bids(root: Path) -> Sources:
    scans = [
        Source(
            path, stem_of(path.name).removesuffix("_T2w"), path.parent.relative_to(root), bids=True
        )
        for path in bids.t2w_scans(root)
    ]
    taken = {one.path for one in scans}
    others = (path for path in sorted(root.glob("sub-*/**/*")) if is_image(path))
    return Sources(scans, {str(path): "no T2w scan" for path in others if path not in taken})


def _of_stacks(folder: Path, stacks: list[Stack], stem: str = "") -> Sources:
    left = {f"{one.files[0].parent}, {one.words}": one.left_out for one in stacks if one.left_out}
    scans = [one for one in stacks if not one.left_out]
    homes = Counter(one.files[0].parent for one in scans)
    found = []
    for one in scans:
        home = one.files[0].parent
        name = stem or home.resolve().name
        if homes[home] > 1:
            name += f"_series-{one.number or '0'}" + (f"_echo-{one.echo}" if one.echo else "")
        inside = home.relative_to(folder).parent if home != folder else Path()
        found.append(Source(home, name, inside, one))
    return Sources(found, left)


def _images(folder: Path) -> Sources:
    scans, left = [], {}
    for path in sorted(folder.rglob("*")):
        if not is_image(path) or any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            continue
        if why := _no_scan(path):
            left[str(path)] = why
        else:
            scans.append(Source(path, stem_of(path.name), path.parent.relative_to(folder)))
    return Sources(scans, left)


def _no_scan(path: Path) -> str:
    """Why an image of a folder is taken for no scan; empty if it may be one."""
    if path.name in listed(path.parent):
        return "a result of an earlier run"
    if path.name.lower().endswith((".img",)):
        return "the second half of an .hdr file"
    if ".seg." in path.name.lower():
        return "a segmentation"
    if is_aside(path):
        return "beside a scan, by its name"
    try:
        named = meaning_of(path) is not None
    except InputError:  # nearly a level: S12
        named = True
    return "a mask, by its name" if named and not _of_person(path) else ""


def _of_person(path: Path) -> bool:
    """Whether a name that could be a level's (S1, L2) is a person's: the file is no mask, which has
    background and a few values. One that cannot be read counts as a scan, so that it is told.
    """
    words = words_of(stem_of(path.name))
    if says_mask(words) or not any(map(is_level_like, words)):
        return False
    try:
        values = np.unique(read_image(path).data)
    except InputError:
        return True
    return values[0] != 0 or not 2 <= len(values) <= len(ROOTS) + 1


def _apart(scans: list[Source]) -> list[Source]:
    """Scans of one name get their folders' names above their results."""
    places = Counter((one.folder, one.stem) for one in scans)
    moved = [
        one
        if places[one.folder, one.stem] == 1
        else replace(one, folder=one.folder / one.path.resolve().parent.name)
        for one in scans
    ]
    taken: dict[tuple[Path, str], Source] = {}
    for one in moved:
        twin = taken.setdefault((one.folder, one.stem), one)
        if twin is not one and twin.files != one.files:
            raise InputError(
                one.path,
                expected=f"another name than {twin.path} has, as both go into one folder",
                found=f"{one.folder / one.stem}_… twice",
                fix="Give them one after the other, with a folder each for the results.",
            )
    return list(taken.values())
