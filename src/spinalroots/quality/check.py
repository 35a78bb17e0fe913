"""What a case's raw data holds, and what looks wrong about it."""

from dataclasses import asdict, dataclass, field

import numpy as np

from spinalroots.dataset.annotations import maps, read_map
from spinalroots.dataset.selection import SelectedCase
from spinalroots.imaging.boxes import label_boxes
from spinalroots.imaging.components import components
from spinalroots.imaging.volume import read_image
from spinalroots.quality.check_picture import picture_of
from spinalroots.registry.anatomy import Root, Scheme, Side, individuals_to_levels, voxels_by_name
from spinalroots.settings.dataset import Check

MAX_ANISOTROPY = 8.0
"""Longest over shortest voxel edge; beyond it a root cannot be followed from slice to slice."""

UNLABELLED = "entity voxels have no "
"""How the mismatches begin that only say that labels are not complete."""


@dataclass(frozen=True)
class Finding:
    """Something to look at: `kind` (a fixed word), `what` (a sentence)."""

    kind: str
    what: str


@dataclass(frozen=True)
class MapCheck:
    """One label map: `voxels` and `islands` (connected components, 26 neighbours) by label name."""

    scheme: str
    rater: str
    voxels: dict[str, int]
    islands: dict[str, int]

    @property
    def title(self) -> str:
        """Scheme, and the rater if there are several."""
        return f"{self.scheme} (rater {self.rater})" if self.rater else self.scheme


@dataclass(frozen=True)
class CaseCheck:
    """Everything that is known about a case; orientation, shape and voxel size as it is stored.

    `mismatch`, `wrong_side`: shares of voxels, by sentence and by root; `picture`: a data URI.
    """

    name: str
    source: str
    orientation: str
    shape: tuple[int, ...]
    voxel_mm: tuple[float, ...]
    maps: list[MapCheck] = field(default_factory=list)
    mismatch: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    wrong_side: dict[str, float] = field(default_factory=dict)
    picture: str = ""

    def names(self, scheme: str) -> set[str]:
        """The labels that any rater's map of a scheme holds."""
        return {name for entry in self.maps if entry.scheme == scheme for name in entry.voxels}

    def as_dict(self) -> dict:
        """Plain values for JSON, without the picture."""
        return {key: value for key, value in asdict(self).items() if key != "picture"}


def check_case(case: SelectedCase, params: Check) -> CaseCheck:
    """Read a case and look at everything in it.

    :raises InputError: what no later stage could work with: an unreadable or non-finite scan,
        unknown label values, a mask on another grid.
    """
    scan = read_image(case.dataset.image(case.name))
    stored = scan.native or scan.grid
    entries = maps(case.dataset, case.name)
    arrays = [read_map(case.dataset, case.name, entry, scan).data for entry in entries]
    findings = geometry_findings(scan.spacing_mm, scan.data)
    if not entries:
        findings.append(Finding("no masks", "there are no masks: the scan is only predicted"))
    checked = []
    by_rater: dict[str, dict[Scheme, np.ndarray]] = {}
    for entry, labels in zip(entries, arrays, strict=True):
        result = describe(labels, entry.scheme, entry.rater)
        checked.append(result)
        findings += size_findings(result, params.tiny_voxels)
        by_rater.setdefault(entry.rater, {})[entry.scheme] = labels
    mismatch: dict[str, float] = {}
    wrong_side: dict[str, float] = {}
    for rater, schemes in sorted(by_rater.items()):
        together = by_rater.get("", {}) | schemes
        suffix = f" (rater {rater})" if rater else ""
        shares = {f"{key}{suffix}": share for key, share in mismatches(together).items()}
        mismatch |= shares
        findings += mismatch_findings(shares, params)
        sides = wrong_sides(together, params.wrong_side_share)
        findings += [
            Finding("side", f"{share:.0%} of {root} lies on the other side")
            for root, share in sides.items()
        ]
        wrong_side |= sides
    return CaseCheck(
        case.name,
        case.source,
        stored.orientation,
        tuple(stored.shape),
        tuple(round(float(edge), 4) for edge in stored.spacing_mm),
        checked,
        {key: round(share, 4) for key, share in mismatch.items()},
        findings,
        {root: round(share, 4) for root, share in wrong_side.items()},
        picture_of(scan, by_rater),
    )


def geometry_findings(spacing_mm: np.ndarray, image: np.ndarray) -> list[Finding]:
    """Voxels too long for their width, or an image without contrast."""
    findings = []
    if max(spacing_mm) > MAX_ANISOTROPY * min(spacing_mm):
        edges = "×".join(f"{edge:.3g}" for edge in spacing_mm)
        findings.append(Finding("geometry", f"voxels of {edges} mm are too long for their width"))
    if image.min() == image.max():
        findings.append(Finding("image", "every voxel of the scan has the same value"))
    return findings


def describe(labels: np.ndarray, scheme: Scheme, rater: str = "") -> MapCheck:
    """Voxels and islands of every label of a map (X, Y, Z)."""
    voxels = voxels_by_name(labels, scheme)
    _, islands = np.unique(components(labels)[1], return_counts=True)
    return MapCheck(str(scheme), rater, voxels, dict(zip(voxels, islands.tolist(), strict=True)))


def size_findings(result: MapCheck, tiny_voxels: int) -> list[Finding]:
    """An empty map, and labels with hardly a voxel."""
    if not result.voxels:
        return [Finding("empty", f"the map of {result.title} is empty")]
    return [
        Finding("tiny", f"{name} in {result.title} has only {count} voxels")
        for name, count in result.voxels.items()
        if count < tiny_voxels
    ]


def mismatches(schemes: dict[Scheme, np.ndarray]) -> dict[str, float]:
    """Shares (0..1) of voxels in which the maps of a case contradict each other."""
    entity, levels, individuals = (
        schemes.get(scheme) for scheme in (Scheme.ENTITY, Scheme.LEVELS, Scheme.INDIVIDUALS)
    )
    found = {}
    if entity is not None and individuals is not None:
        found["individual voxels lie outside the entity mask"] = _share(individuals, entity == 0)
        found[f"{UNLABELLED}individual label"] = _share(entity, individuals == 0)
    if entity is not None and levels is not None:
        found["level voxels lie outside the entity mask"] = _share(levels, entity == 0)
        found[f"{UNLABELLED}level"] = _share(entity, levels == 0)
    if levels is not None and individuals is not None:
        both = (levels != 0) & (individuals != 0)
        found["voxels have another level in the individual map than in the level map"] = _share(
            both, individuals_to_levels(individuals) != levels
        )
    if (tissues := schemes.get(Scheme.TISSUES)) is not None and entity is not None:
        found["entity voxels are marked as cord or fat"] = _share(entity, np.isin(tissues, (1, 3)))
    return found


def mismatch_findings(shares: dict[str, float], params: Check) -> list[Finding]:
    """Contradictions (`mismatch`), and roots that nobody has named yet (`unlabelled`).

    The second is usual and refinement mends it, so more of it is let pass.
    """
    findings = []
    for what, share in shares.items():
        unlabelled = what.startswith(UNLABELLED)
        if share > (params.unlabelled_share if unlabelled else params.mismatch_share):
            kind = "unlabelled" if unlabelled else "mismatch"
            findings.append(Finding(kind, f"{share:.1%} of {what}"))
    return findings


def wrong_sides(schemes: dict[Scheme, np.ndarray], wrong_share: float) -> dict[str, float]:
    """Root → share of it on the other side of the sac's middle (RAS+: left is the lower index).

    Only roots of which more than `wrong_share` lies there.
    """
    individuals = schemes.get(Scheme.INDIVIDUALS)
    if individuals is None:
        return {}
    tissues = schemes.get(Scheme.TISSUES)
    sac = individuals != 0 if tissues is None else np.isin(tissues, (1, 2)) | (individuals != 0)
    middle = middle_of_slices(sac)
    found = {}
    for value, place in label_boxes(individuals).items():
        right, _, height = np.nonzero(individuals[place] == value)
        offset = right + place[0].start - middle[height + place[2].start]
        root = Root.from_value(value)
        wrong = np.mean(offset > 0 if root.side is Side.LEFT else offset < 0)
        if wrong > wrong_share:
            found[str(root)] = float(wrong)
    return found


def middle_of_slices(mask: np.ndarray) -> np.ndarray:
    """Middle (Z,) of the mask's left-right extent in every axial slice, in voxels.

    Halfway between the edges, so that more labels on one side do not draw it there. Slices without
    a voxel take it from their neighbours.
    """
    across = np.asarray(mask.any(axis=1))
    filled = np.flatnonzero(across.any(axis=0))
    if not filled.size:
        return np.full(mask.shape[2], (mask.shape[0] - 1) / 2)
    first = across.argmax(axis=0)
    last = mask.shape[0] - 1 - across[::-1].argmax(axis=0)
    middle = (first + last) / 2
    return np.interp(np.arange(mask.shape[2]), filled, middle[filled])


def _share(of: np.ndarray, where: np.ndarray) -> float:
    """Share of the non-zero voxels of `of` in which `where` holds."""
    whole = np.count_nonzero(of)
    return np.count_nonzero((of != 0) & where) / whole if whole else 0.0
