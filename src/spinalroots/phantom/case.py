"""One phantom in memory: subject, courses, scan and its true labels. Pure and deterministic."""

from dataclasses import dataclass, replace

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid
from spinalroots.phantom.acquisition import (
    Acquisition,
    draw_acquisition,
    draw_wider_acquisition,
    lay_grid,
)
from spinalroots.phantom.artefacts import Faults, apply_faults, draw_faults, draw_wide_faults
from spinalroots.phantom.contrast import Contrast, draw_contrast, draw_wide_contrast
from spinalroots.phantom.rare import make_rare, sleeve_tubes, throw
from spinalroots.phantom.roots import Course, lay_courses
from spinalroots.phantom.scene import Scene, paint, with_csf
from spinalroots.phantom.sections import Sections
from spinalroots.phantom.spine import Curve, build_curve
from spinalroots.phantom.subject import Subject, draw_subject
from spinalroots.phantom.tubes import Filling, Tube, centre_voxels, fill
from spinalroots.phantom.variety import draw_variety
from spinalroots.registry.anatomy import (
    LEVELS,
    ROOT_OUTSIDE_TISSUE,
    ROOT_TISSUE,
    ROOTS,
    Root,
    individuals_to_levels,
)
from spinalroots.settings.phantom import Phantom

WHITE_MATTER, CSF, FAT = 1, 2, 3  # values of the tissue map, in the order of anatomy.TISSUES
ROOT, ROOT_OUTSIDE = ROOT_TISSUE, ROOT_OUTSIDE_TISSUE  # what the anatomy map has beside them


@dataclass(frozen=True)
class Case:
    """A scan with everything that is known about it. Arrays (X, Y, Z) on the RAS+ grid `affine`.

    `individuals`, `levels`, `entity`, `tissues` and `anatomy` are the truth; `share` is the part
    of each voxel that roots fill. `native` is the grid to store it on.
    """

    subject: Subject
    acquisition: Acquisition
    faults: Faults
    contrast: Contrast
    curve: Curve
    courses: tuple[Course, ...]
    affine: np.ndarray
    native: Grid
    image: np.ndarray
    individuals: np.ndarray
    tissues: np.ndarray
    anatomy: np.ndarray
    share: np.ndarray
    centreline: Centreline

    @property
    def levels(self) -> np.ndarray:
        """Level map, dorsal and ventral roots alike."""
        return individuals_to_levels(self.individuals)

    @property
    def conus_ras_mm(self) -> np.ndarray:
        """Tip of the cord (3,) in RAS+ mm."""
        tip = self.subject.conus_tip_mm
        front = float(Sections(self.subject).cord(np.array(tip)).v)
        return self.curve.to_world(np.array([0.0, front, tip]))

    @property
    def discs_ras_mm(self) -> dict[str, np.ndarray]:
        """Where the middle of cord and sac (3,), RAS+ mm, is level with the middle of each disc."""
        names = list(self.subject.discs_mm)
        below = [*names[1:], LEVELS[LEVELS.index(names[-1]) + 1]]
        middle = cord_and_sac_middle(self.subject, np.array(list(self.subject.discs_mm.values())))
        return {
            f"{upper}/{lower}": self.curve.to_world(point)
            for upper, lower, point in zip(names, below, middle, strict=True)
        }

    @property
    def entity(self) -> np.ndarray:
        """All roots as one foreground (uint8)."""
        return (self.individuals > 0).astype(np.uint8)


def generate(params: Phantom, seed: int, index: int) -> Case:
    """The `index`-th phantom of a seed. Same arguments, same bytes."""
    streams = np.random.default_rng([seed, index]).spawn(7)
    subject = draw_subject(streams[0])
    acquisition = draw_acquisition(params, streams[2])
    if is_randomised(params, index):
        wide = streams[5]
        subject = replace(subject, variety=draw_variety(wide, subject.discs_mm))
        acquisition = draw_wider_acquisition(acquisition, wide)
        contrast = draw_wide_contrast(wide, map(str, subject.diameters_mm))
        noise = (0.01, min(0.1, 0.25 * (1 - contrast.root)))  # roots stay to be seen
        faults = draw_wide_faults(wide, acquisition.slice_axis, noise)
        subject, acquisition = make_rare(
            subject, acquisition, params, throw(seed, index), streams[6]
        )
    else:
        faults = draw_faults(streams[2], acquisition.slice_axis, params.noise)
        contrast = draw_contrast(streams[3])
    courses = lay_courses(subject, streams[1])
    curve = build_curve(subject)
    shape, affine, native = lay_grid(subject, curve, acquisition)
    axes = [affine[k, 3] + affine[k, k] * np.arange(shape[k]) for k in range(3)]
    scene = paint(subject, contrast, curve.straighten(*axes), np.diag(affine)[:3], streams[4])
    parts = acquisition.parts or (params.subvoxels,) * 3
    if sleeves := sleeve_tubes(subject, courses, curve):
        scene = with_csf(scene, fill(sleeves, shape, affine, parts).share)
    tubes = root_tubes(courses, curve)
    roots = fill(tubes, shape, affine, parts)
    strings = fill([filum_tube(subject, curve)], shape, affine, parts)
    clean = scene.signal * (1 - strings.share) + strings.share * contrast.root
    clean = clean * (1 - roots.share) + roots.share * root_signals(contrast)[roots.owner]
    individuals = label_roots(roots, tubes, scene, affine, params.mask_coverage)
    return Case(
        subject=subject,
        acquisition=acquisition,
        faults=faults,
        contrast=contrast,
        curve=curve,
        courses=courses,
        affine=affine,
        native=native,
        image=apply_faults(clean, faults),
        individuals=individuals,
        tissues=label_tissues(scene, individuals, strings.share),
        anatomy=label_anatomy(scene, individuals, strings.share),
        share=roots.share,
        centreline=true_centreline(subject, curve, axes[2]),
    )


def is_randomised(params: Phantom, index: int) -> bool:
    """Whether the `index`-th phantom is one of the randomised share, spread evenly over them."""
    share = params.randomised_share
    return int((index + 1) * share + 1e-9) > int(index * share + 1e-9)


def root_signals(contrast: Contrast) -> np.ndarray:
    """Signal by label value (a root's own; 0 is never looked up where there is a root)."""
    signals = np.full(len(ROOTS) + 1, contrast.root, np.float32)
    for name, factor in contrast.roots:
        signals[Root.parse(name).value] *= factor
    return signals


def root_tubes(courses: tuple[Course, ...], curve: Curve) -> list[Tube]:
    """Trunks and rootlets in RAS+ mm."""
    tubes = []
    for course in courses:
        tubes.append(Tube(course.root.value, curve.to_world(course.trunk), course.radius_mm))
        for rootlet in course.rootlets:
            radius = np.full(len(rootlet), course.rootlet_radius_mm)
            tubes.append(Tube(course.root.value, curve.to_world(rootlet), radius))
    return tubes


def filum_tube(subject: Subject, curve: Curve) -> Tube:
    """The filum terminale in RAS+ mm."""
    s = np.arange(subject.conus_tip_mm - 1, subject.sac_end_mm, 1.0)
    v, radius = Sections(subject).filum(s)
    return Tube(1, curve.to_world(np.column_stack([np.zeros_like(s), v, s])), radius)


def label_roots(
    filling: Filling, tubes: list[Tube], scene: Scene, affine: np.ndarray, coverage: float
) -> np.ndarray:
    """Individual map: voxels filled to at least `coverage`, and every centreline voxel.

    The centreline keeps a root in one piece where it is thinner than a voxel, or pressed against a
    thicker one. A voxel crossed by the centrelines of two roots belongs to the one that fills more
    of it, and a voxel that is mostly cord to none.
    """
    labels = np.where(filling.share >= coverage, filling.owner, 0).astype(np.uint8)
    claims = np.zeros(labels.shape, np.uint8)
    contested = np.zeros(labels.shape, bool)
    for tube in tubes:
        index = tuple(centre_voxels(tube, labels.shape, affine).T)
        contested[index] |= (claims[index] > 0) & (claims[index] != tube.value)
        claims[index] = tube.value
    labels = np.where(claims > 0, np.where(contested, filling.owner, claims), labels)
    labels[scene.cord > 0.5] = 0
    return labels


def label_tissues(scene: Scene, individuals: np.ndarray, filum: np.ndarray) -> np.ndarray:
    """Tissue map: cord, CSF (roots and filum left out) and epidural fat."""
    tissues = np.zeros(individuals.shape, np.uint8)
    tissues[scene.fat > 0.5] = FAT
    tissues[(scene.sac > 0.5) & (individuals == 0) & (filum < 0.5)] = CSF
    tissues[scene.cord > 0.5] = WHITE_MATTER
    return tissues


def label_anatomy(scene: Scene, individuals: np.ndarray, filum: np.ndarray) -> np.ndarray:
    """Tissue map with all roots; the filum, a thread like any other, counts as one."""
    anatomy = label_tissues(scene, individuals, filum)
    anatomy[(filum >= 0.5) & (scene.cord <= 0.5)] = ROOT
    anatomy[individuals > 0] = np.where(scene.sac[individuals > 0] > 0.5, ROOT, ROOT_OUTSIDE)
    return anatomy


def true_centreline(subject: Subject, curve: Curve, heights_mm: np.ndarray) -> Centreline:
    """Middle of the cord, and below the conus of the sac, at every axial slice that it crosses."""
    s = np.arange(subject.discs_mm["T8"] - 20, subject.sac_end_mm, 0.5)
    points = curve.to_world(cord_and_sac_middle(subject, s))[::-1]
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(points[:, 2])) > 0])
    path = Centreline(points[rising], "truth")
    low, high = points[:, 2].min(), points[:, 2].max()
    return Centreline(
        path.at_height(heights_mm[(heights_mm >= low) & (heights_mm <= high)]), "truth"
    )


def cord_and_sac_middle(subject: Subject, s: np.ndarray) -> np.ndarray:
    """Straight coordinates (N, 3) of the line through cord and sac at heights s (N,) in mm."""
    sections = Sections(subject)
    blend = np.clip((s - subject.conus_tip_mm + 10) / 20, 0, 1)
    v = sections.cord(s).v * (1 - blend) + sections.sac(s).v * blend
    return np.column_stack([np.zeros_like(s), v, s])
