"""What a file's name says: a scan, or whose mask of what.

Names are read as words, so that `L3_D_L.nii.gz`, `t2_L3-dorsal-left_seg.nii` and
`sub-07_label-L3DL_desc-raterB_mask.nii.gz` all find their place. A name that nearly is a root or a
level, such as `L9_D_L`, is an error and never a guess.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.registry.anatomy import LEVELS, TISSUES, Root, Scheme, level_value

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_FORMATS = frozenset((".nrrd", ".nhdr", ".mha", ".mhd"))
"""Image formats besides NIfTI in which a mask may come."""
OTHER_FORMATS = frozenset((".mgz", ".hdr", ".img", ".gipl"))
"""Image formats that labs use and that are not read here as masks."""


def word_set(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


_NOISE = word_set(
    "mask masks seg segmentation segmented label labels manual bin binary dseg probseg dlabel map "
    "nerve spinal root roots rootlet rootlets level levels individual individuals each"
)
_MASK_WORDS = _NOISE - word_set("manual spinal nerve each")
_SCAN_WORDS = word_set("image img scan mri mr t2 t2w t2star anat volume space cube vista")
_MAP_WORDS = {
    "individuals": Scheme.INDIVIDUALS,
    "levels": Scheme.LEVELS,
    "tissues": Scheme.TISSUES,
    "tissue": Scheme.TISSUES,
    "rootlets": Scheme.LEVELS,
}
"""Of maps that hold their own label values; the first of them that a name has decides."""
_TISSUE_WORDS = {
    **dict.fromkeys(("wm", "white", "cord", "spinalcord", "sc"), "WM"),
    **dict.fromkeys(("fat", "epidural"), "fat"),
    **dict.fromkeys(("csf", "cerebrospinal"), "CSF"),
}
_LETTER = {
    **dict.fromkeys(("d", "dorsal", "posterior", "sensory"), "D"),
    **dict.fromkeys(("v", "ventral", "anterior", "motor"), "V"),
    **dict.fromkeys(("l", "left"), "L"),
    **dict.fromkeys(("r", "right"), "R"),
}
_ASIDE = word_set("centerline centreline disc discs discloc vertebrae vertebral canal spine")
_LEVEL = re.compile(r"^(th|[ctls])(\d{1,3})$")
_ROOT_IN_ONE = re.compile(r"^(th|[ctls])(\d{1,3})([dv])([lr])$")
_BIDS_LABEL = re.compile(r"(?:^|_)label-([0-9A-Za-z]+)")
_RATER = re.compile(r"^(?:rater|annotator|reader|expert)([0-9a-z]*)$")


@dataclass(frozen=True)
class Meaning:
    """What a mask file holds.

    `value`: the label of a binary mask, None for a map that holds its own label values.
    `rater`: who drew it, empty if the name does not say.
    """

    scheme: Scheme
    value: int | None
    rater: str = ""


def is_nifti(path: Path) -> bool:
    """Whether the name ends like a NIfTI file's; macOS' `._*` companions are not."""
    return path.name.lower().endswith(NIFTI_ENDINGS) and not path.name.startswith("._")


def stem_of(path: Path) -> str:
    """Name without its NIfTI ending."""
    name = path.name
    ending = next((end for end in NIFTI_ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def words_of(text: str) -> list[str]:
    """Lower-case words of a name, and what stands between them left out.

    >>> words_of("t2_L3-D-L.seg")
    ['t2', 'l3', 'd', 'l', 'seg']
    """
    return [word for word in re.split(r"[^0-9a-z]+", text.lower()) if word]


def shared_prefix(scan_stem: str, mask_stem: str) -> str:
    """What a mask's name repeats of its scan's, whole words only.

    >>> shared_prefix("S12_image", "S12_L3_D_L"), shared_prefix("t2", "t2_cord-manual")
    ('S12', 't2')
    """
    ends = [match.start() for match in re.finditer(r"[^0-9A-Za-z]|$", mask_stem)]
    shared = (mask_stem[:end] for end in reversed(ends) if end < len(mask_stem))
    return next(
        (part for part in shared if re.match(rf"{re.escape(part)}(?![0-9A-Za-z])", scan_stem)), ""
    )


def rater_of(text: str) -> str:
    """The rater that a folder's or file's name gives, such as `A` in `rater-A`; else empty.

    >>> rater_of("rater-a"), rater_of("masks")
    ('A', '')
    """
    return _take_rater(words_of(text))[0]


def meaning_of(path: Path, prefix: str = "") -> Meaning | None:
    """What the file's name says; None if it does not name a mask (so it may be the scan).

    :param prefix: the scan's stem, taken off the front of a mask's name first.
    :raises InputError: the name nearly is a root's or a level's, but is none.
    """
    stem = stem_of(path)
    if prefix and stem.lower().startswith(prefix.lower()) and len(stem) > len(prefix):
        stem = stem[len(prefix) :]
    rater, words = _take_rater(words_of(stem))
    if match := _BIDS_LABEL.search(stem):
        words = ["label", *words_of(match[1])]
    named = _root_or_level(path, words)
    if named is not None:
        return Meaning(*named, rater)
    for word in words:
        if word in _TISSUE_WORDS:
            return Meaning(Scheme.TISSUES, TISSUES.index(_TISSUE_WORDS[word]) + 1, rater)
    for map_word, scheme in _MAP_WORDS.items():
        if map_word in words:
            return Meaning(scheme, None, rater)
    return Meaning(Scheme.ENTITY, 1, rater) if {"roots", "root", "entity"} & set(words) else None


def is_aside(path: Path) -> bool:
    """Whether the file is a well-known companion of a scan that has no use here."""
    return bool(_ASIDE & set(words_of(stem_of(path))))


def says_mask(words: list[str]) -> bool:
    """Whether a word of a name says that the file is a mask, a map, or a side's or type's."""
    return bool((_MASK_WORDS | _LETTER.keys()) & set(words))


def is_level_like(word: str) -> bool:
    """Whether a word could be a level, as could many a subject's number.

    >>> is_level_like("s12"), is_level_like("l3dl"), is_level_like("p7")
    (True, False, False)
    """
    return _LEVEL.match(word) is not None


def looks_like_scan(path: Path) -> bool:
    """Whether the name says that the file is the scan itself."""
    return bool(_SCAN_WORDS & set(words_of(stem_of(path))))


def require_own_values(path: Path, meaning: Meaning) -> None:
    """:class:`InputError` for a tissue map that was drawn for `spinalroots real`: other values."""
    whole_map = meaning.scheme is Scheme.TISSUES and meaning.value is None
    if whole_map and {"manual", "gt"} & set(words_of(stem_of(path))):
        raise InputError(
            path,
            expected="a tissue map with the values "
            + ", ".join(f"{value} {name}" for value, name in enumerate(TISSUES, 1)),
            found="a drawing for `spinalroots real`, where 1 is CSF, 2 roots and 3 cord",
            fix="Give a mask each (cord, CSF, roots); or call it tissues.nii.gz if its values are "
            "those expected.",
        )


def unknown_name(path: Path) -> InputError:
    """The error for a file that is neither the scan nor a known mask."""
    known = [*LEVELS, *TISSUES, "L3_D_L"]
    close = difflib.get_close_matches(stem_of(path), known, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]}?" if close else ""
    return InputError(
        path,
        expected="a scan (image, T2w), or a mask named roots, LEVEL (L3), LEVEL_TYPE_SIDE "
        "(L3_D_L), WM, CSF or fat",
        found=f"the name {path.name!r}",
        fix=f"Rename the file, or take it out of the folder.{hint}",
    )


def _take_rater(words: list[str]) -> tuple[str, list[str]]:
    """The rater among the words, and the words without it."""
    for index, word in enumerate(words):
        if match := _RATER.match(word):
            if match[1]:
                return match[1].upper(), words[:index] + words[index + 1 :]
            if index + 1 < len(words):
                return words[index + 1].upper(), words[:index] + words[index + 2 :]
    return "", words


def _root_or_level(path: Path, words: list[str]) -> tuple[Scheme, int] | None:
    """(scheme, value) of a name that has a level in it."""
    for index, word in enumerate(words):
        if match := _ROOT_IN_ONE.match(word):
            rest = [match[3], match[4]]
        elif match := _LEVEL.match(word):
            if word in _SCAN_WORDS and not _surely_a_level(words, index):
                continue
            rest = words[:index] + words[index + 1 :]
        else:
            continue
        return _side_and_type(path, _level(path, match[1], match[2]), rest)
    return None


def _surely_a_level(words: list[str], index: int) -> bool:
    """Whether `t2` is the second thoracic level rather than the scan's contrast."""
    letters = {_LETTER.get(word) for word in words}
    named = index > 0 and words[index - 1] in ("label", "level")
    return named or bool(letters & {"D", "V"} and letters & {"L", "R"})


def _side_and_type(path: Path, level: str, words: list[str]) -> tuple[Scheme, int]:
    rest = [word for word in words if word not in _SCAN_WORDS | _NOISE]
    if not rest:
        return Scheme.LEVELS, level_value(level)
    letters = [_LETTER.get(word) for word in rest]
    types = [letter for letter in letters if letter in ("D", "V")]
    sides = [letter for letter in letters if letter in ("L", "R")]
    if len(types) == len(sides) == 1 and len(rest) == 2:
        return Scheme.INDIVIDUALS, Root.parse(f"{level}_{types[0]}_{sides[0]}").value
    raise unknown_name(path)


def _level(path: Path, letter: str, number: str) -> str:
    level = f"{letter[0].upper()}{int(number)}"
    if level not in LEVELS:
        raise InputError(
            path,
            expected="a level C1…C8, T1…T12, L1…L5 or S1…S5",
            found=f"level {letter.upper()}{number}",
            fix="Correct the file's name.",
        )
    return level
