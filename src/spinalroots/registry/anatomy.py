"""The one registry: levels, roots, regions, label schemes, label values and colours.

Nothing else in the project spells a label's number or a root's name. This module imports neither
torch nor any imaging library, so the command line, the docs and the reports can ask it at once.

Label values as stored in files (all fit in uint8, 0 is background):

* ``levels``: the spinal level counted from C1 = 1 to S5 = 30, the Spinal Cord Toolbox convention;
* ``individuals``: ``4 * (level - 1) + 1 + slot``, slots in the order D_L, D_R, V_L, V_R: 1..120;
* ``entity``: 1; ``tissues``: 1 white matter (the cord), 2 CSF, 3 fat, 4 roots.

Networks need consecutive classes instead: a :class:`Target` maps between the two.
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property

import numpy as np
from pydantic import TypeAdapter

from spinalroots.errors import InputError


class Type(StrEnum):
    """Dorsal (sensory) or ventral (motor) root."""

    DORSAL = "D"
    VENTRAL = "V"


class Side(StrEnum):
    """The patient's left or right."""

    LEFT = "L"
    RIGHT = "R"


class Scheme(StrEnum):
    """What the voxels of a label map stand for; also what a model may learn."""

    ENTITY = "entity"
    LEVELS = "levels"
    INDIVIDUALS = "individuals"
    TISSUES = "tissues"


class Region(StrEnum):
    """A stretch of the cord, or all of it."""

    ALL = "all"
    CERVICAL = "cervical"
    THORACIC = "thoracic"
    LUMBAR = "lumbar"
    SACRAL = "sacral"

    @property
    def letter(self) -> str:
        """What the names of its levels begin with."""
        return self[0].upper()


LEVELS: tuple[str, ...] = tuple(
    f"{letter}{number}"
    for letter, count in (("C", 8), ("T", 12), ("L", 5), ("S", 5))
    for number in range(1, count + 1)
)
"""All 30 spinal levels from the head down."""

TISSUES: tuple[str, ...] = ("WM", "CSF", "fat", "roots")
"""Names of the tissue labels 1 to 4 (WM: white matter, which stands for the whole cord). A map
that shows `roots` has all of them, dorsal and ventral; annotators draw the first three."""

CSF_TISSUE, ROOT_TISSUE = TISSUES.index("CSF") + 1, TISSUES.index("roots") + 1
"""Labels of CSF, and of all roots, in a tissue map."""
ROOT_OUTSIDE_TISSUE = len(TISSUES) + 1
"""Label of roots beyond the sac, in a phantom's anatomy map alone."""

_ROOT_NAME = re.compile(r"^([CTLS]\d{1,2})_([DV])_([LR])$")


def level_value(level: str) -> int:
    """Label value of a level: C1 = 1 … S5 = 30.

    >>> level_value("T10"), level_value("S3")
    (18, 28)
    """
    try:
        return LEVELS.index(level) + 1
    except ValueError:
        raise InputError(
            f"level {level!r}",
            expected="a spinal level C1…C8, T1…T12, L1…L5 or S1…S5",
            found=repr(level),
            fix="Correct the name.",
        ) from None


@dataclass(frozen=True, order=True)
class Root:
    """One spinal nerve root, written ``L3_D_L``: level, dorsal/ventral, left/right.

    >>> Root.parse("L3_D_L").value
    89
    >>> str(Root.from_value(89))
    'L3_D_L'
    """

    level_index: int
    type: Type
    side: Side

    @classmethod
    def parse(cls, name: str) -> Root:
        """Root of a name such as ``L3_D_L``; :class:`InputError` for anything else."""
        match = _ROOT_NAME.match(name)
        if not match or match[1] not in LEVELS:
            raise InputError(
                f"root {name!r}",
                expected="LEVEL_TYPE_SIDE such as L3_D_L (D dorsal, V ventral; L left, R right)",
                found=repr(name),
                fix="Rename it, or leave it out.",
            )
        return cls(LEVELS.index(match[1]), Type(match[2]), Side(match[3]))

    @classmethod
    def from_value(cls, value: int) -> Root:
        """Root of a label value 1..120 of the ``individuals`` scheme."""
        if not 1 <= value <= 4 * len(LEVELS):
            raise InputError(
                f"individual label {value}",
                expected=f"a value from 1 to {4 * len(LEVELS)}",
                found=str(value),
                fix="Check that the file holds an individual map.",
            )
        level_index, slot = divmod(value - 1, 4)
        return cls(level_index, tuple(Type)[slot // 2], tuple(Side)[slot % 2])

    @property
    def level(self) -> str:
        """Name of the root's level, such as ``L3``."""
        return LEVELS[self.level_index]

    @property
    def value(self) -> int:
        """Label value 1..120 in the ``individuals`` scheme."""
        slot = 2 * tuple(Type).index(self.type) + tuple(Side).index(self.side)
        return 4 * self.level_index + 1 + slot

    @property
    def mirrored(self) -> Root:
        """The same root on the other side."""
        other = Side.RIGHT if self.side is Side.LEFT else Side.LEFT
        return Root(self.level_index, self.type, other)

    def __str__(self) -> str:
        return f"{self.level}_{self.type}_{self.side}"


ROOTS: tuple[Root, ...] = tuple(Root.from_value(value) for value in range(1, 4 * len(LEVELS) + 1))
"""All 120 roots in the order of their label values."""

REFINED_LEVELS: tuple[str, ...] = LEVELS[LEVELS.index("T10") : LEVELS.index("S3") + 1]
"""The 11 levels T10–S3 that matter for epidural stimulation (the paper, II-B)."""

REFINED_ROOTS: tuple[Root, ...] = tuple(
    root for root in ROOTS if root.level in REFINED_LEVELS and root.type is Type.DORSAL
)
"""The 22 refined roots: dorsal, T10–S3, left and right."""


def levels_of(region: Region | str, among: tuple[str, ...] = REFINED_LEVELS) -> tuple[str, ...]:
    """Levels of a region, restricted to `among`.

    >>> levels_of("thoracic")
    ('T10', 'T11', 'T12')
    """
    region = Region(region)
    if region is Region.ALL:
        return tuple(among)
    return tuple(level for level in among if level.startswith(region.letter))


def label_names(scheme: Scheme | str) -> dict[int, str]:
    """Label value → name for a scheme, background left out."""
    scheme = Scheme(scheme)
    if scheme is Scheme.ENTITY:
        return {1: "roots"}
    if scheme is Scheme.LEVELS:
        return {level_value(level): level for level in LEVELS}
    if scheme is Scheme.INDIVIDUALS:
        return {root.value: str(root) for root in ROOTS}
    return {index + 1: name for index, name in enumerate(TISSUES)}


def voxels_by_name(labels: np.ndarray, scheme: Scheme | str) -> dict[str, int]:
    """Name → voxels of the labels that occur in a map (uint8, any shape) of a scheme."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return {name: int(counts[v]) for v, name in label_names(scheme).items() if counts[v]}


def label_colour(scheme: Scheme | str, value: int) -> tuple[int, int, int]:
    """RGB colour, 0..255, of a label: a level keeps its hue in every scheme.

    Neighbouring levels are far apart in hue (golden-angle steps); the right side is paler and a
    ventral root darker than its dorsal one.
    """
    scheme = Scheme(scheme)
    if scheme is Scheme.ENTITY:
        return (255, 200, 60)
    if scheme is Scheme.TISSUES:
        return ((235, 225, 200), (90, 160, 230), (250, 220, 90), (255, 140, 60))[value - 1]
    if scheme is Scheme.LEVELS:
        level_index, saturation, brightness = value - 1, 0.85, 1.0
    else:
        root = Root.from_value(value)
        level_index = root.level_index
        saturation = 0.9 if root.side is Side.LEFT else 0.55
        brightness = 1.0 if root.type is Type.DORSAL else 0.65
    hue = (level_index * 0.381966) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, brightness)
    return (round(255 * red), round(255 * green), round(255 * blue))


_LEVEL_OF, _MIRRORED = np.zeros(256, np.uint8), np.arange(256, dtype=np.uint8)
for _root in ROOTS:
    _LEVEL_OF[_root.value] = _root.level_index + 1
    _MIRRORED[_root.value] = _root.mirrored.value


def individuals_to_levels(individuals: np.ndarray) -> np.ndarray:
    """Level map (uint8, same shape) of an individual map."""
    return _LEVEL_OF[individuals]


def swap_sides(individuals: np.ndarray) -> np.ndarray:
    """Individual map with left and right exchanged in the labels: what a mirrored image needs."""
    return _MIRRORED[individuals]


@dataclass(frozen=True)
class Target:
    """What a model learns: classes 1..n over the voxels of a label map.

    `scheme` is entity, levels or individuals; `levels` and `types` say which roots count. With
    `other_roots`, roots of the scheme outside `levels` get one extra, last class, so that the
    model of a region can tell a neighbour's root from its own.
    """

    scheme: Scheme
    levels: tuple[str, ...] = REFINED_LEVELS
    types: tuple[Type, ...] = (Type.DORSAL,)
    other_roots: bool = False

    @classmethod
    def of(
        cls,
        scheme: Scheme | str,
        region: Region | str = Region.ALL,
        *,
        among: tuple[str, ...] = REFINED_LEVELS,
        types: tuple[Type, ...] = (Type.DORSAL,),
        other_roots: bool = False,
    ) -> Target:
        """Target of a scheme over a region of the refined levels.

        >>> len(Target.of("individuals").names), len(Target.of("levels", "sacral").names)
        (22, 3)
        """
        return cls(Scheme(scheme), levels_of(region, among), tuple(types), other_roots)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Stored label value of each class 1..n (without `other roots`)."""
        if self.scheme is Scheme.ENTITY:
            return (1,)
        if self.scheme is Scheme.LEVELS:
            return tuple(level_value(level) for level in self.levels)
        return tuple(
            root.value for root in ROOTS if root.level in self.levels and root.type in self.types
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each class 1..n (without `other roots`)."""
        table = label_names(self.scheme)
        return tuple(table[value] for value in self.values)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all network classes: background, the labels, `other roots` if asked for."""
        return ("background", *self.names, *(("other roots",) if self.other_roots else ()))

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Stored labels → classes 0..n (uint8, same shape).

        A level target takes a level map, an individual target an individual map, an entity target
        any of them. Values outside the target become background, or `other roots`.
        """
        if self.scheme is Scheme.ENTITY:
            return (labels > 0).astype(np.uint8)
        table = np.zeros(256, np.uint8)
        if self.other_roots:
            table[1:] = len(self.values) + 1
        for index, value in enumerate(self.values, start=1):
            table[value] = index
        return table[labels]

    def decode(self, classes: np.ndarray) -> np.ndarray:
        """Classes 0..n → stored label values (uint8); `other roots` becomes background."""
        table = np.zeros(256, np.uint8)
        table[1 : len(self.values) + 1] = self.values
        return table[classes]

    def as_dict(self) -> dict:
        """Plain values for a JSON file; :meth:`from_dict` reads them back."""
        return TypeAdapter(Target).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, record: dict) -> Target:
        """Inverse of :meth:`as_dict`."""
        named = {field.name: record[field.name] for field in fields(cls)}
        return TypeAdapter(cls).validate_python(named)
