"""The Python API: load a model once, give it scans in any form, get maps, curves and warnings.

model = spinalroots.load_model("models/hardnet-anatomy")
result = model.predict("scan.nii.gz")
result.maps["individuals"], result.curves["L3_D_L"], result.warnings
result.save("out/")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from nibabel.spatialimages import SpatialImage

from spinalroots.errors import InputError
from spinalroots.files import files_together
from spinalroots.imaging.anchors import Anchor, require_inside
from spinalroots.imaging.limits import require_volume
from spinalroots.imaging.opening import of_itk, stem_of
from spinalroots.imaging.opening import voxels as voxels_of
from spinalroots.imaging.placement import Place, place_of
from spinalroots.imaging.volume import Volume, as_image, as_scan
from spinalroots.predict import load, sources, writing
from spinalroots.predict.load import Model
from spinalroots.predict.scan import Segmentation, segment
from spinalroots.reconstruct.trajectories import trace_root
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Root, Scheme
from spinalroots.registry.models import DEFAULT_MODEL

if TYPE_CHECKING:
    import nibabel as nib
    import SimpleITK as sitk

    Scan: TypeAlias = str | Path | SpatialImage | tuple[np.ndarray, np.ndarray] | sitk.Image

MEMORY = "image"
"""How messages call a scan that was given in memory, and how names of its results begin."""


def load_model(
    model: str | Path = DEFAULT_MODEL, *, models: Path = paths.MODELS, device: str = "auto"
) -> LoadedModel:
    """Load a model, once for any number of scans.

    :param model: as for ``predict -m``: a name below `models`, a folder, a model's file, or
        ``models:/NAME@champion``.
    :param device: auto, cpu or cuda.
    :raises InputError: there is no such model, or no such device.
    """
    from spinalroots.compute.device import choose_device

    folder = load.find(str(model), Path(models))
    return LoadedModel(load.load(folder, choose_device(device)))


@dataclass(frozen=True)
class LoadedModel:
    """A model that segments scans; `model` is what `spinalroots predict` uses as well."""

    model: Model

    @property
    def name(self) -> str:
        """Of the model."""
        return self.model.name

    def predict(
        self, scan: Scan, *, anchors: Sequence[str] = (), orientation: str | None = None
    ) -> Result:
        """Segment one scan.

        :param scan: a path (NIfTI, NRRD, MetaImage, a DICOM folder), an image of nibabel or
            SimpleITK, or voxels (X, Y, Z) with their voxel → RAS+ mm affine (4, 4).
        :param anchors: discs that level names are to rest on, such as ``"L1/L2=-3.5,20,-41"``.
        :param orientation: how the voxel axes really run, where the header does not say.
        :raises InputError: the scan or the anchors cannot be used.
        """
        name, volume = _read(scan, orientation)
        writing.require_extent(name, volume)
        placed = [Anchor.parse(text) for text in anchors]
        require_inside(placed, volume.grid)
        return Result(stem_of(Path(name).name), volume, segment(volume, self.model, placed))


@dataclass(frozen=True)
class Result:
    """What a model found in a scan: `name` begins the names of its files."""

    name: str
    scan: Volume
    segmentation: Segmentation

    @cached_property
    def maps(self) -> Mapping[str, nib.Nifti1Image]:
        """Images on the scan's own grid: `levels`, `individuals`, `entity` (named roots), and where
        the model knows them `tissues`, `all_roots`; `foreground` (P(root), 0..1) and the chances
        that an answer is wrong, `root_uncertainty` (0..1) and `name_uncertainty` (0..1)."""
        found = {str(scheme): labels for scheme, labels in self.segmentation.maps.items()}
        if Scheme.TISSUES in self.segmentation.maps:
            found["all_roots"] = writing.all_roots(self.segmentation.maps[Scheme.TISSUES])
        found |= writing.doubts(self.segmentation.prediction)
        return {name: as_image(volume, self.scan.native) for name, volume in found.items()}

    @cached_property
    def curves(self) -> Mapping[str, np.ndarray]:
        """Root → points (N, 3) along it in RAS+ mm, from entry to exit, 1 mm apart."""
        individuals = self.segmentation.maps[Scheme.INDIVIDUALS]
        return {
            str(Root.from_value(value)): trace_root(
                individuals.data == value, individuals.affine, spacing_mm=1.0, gap_mm=10.0
            ).points_mm
            for value in map(int, np.unique(individuals.data))
            if value
        }

    @property
    def centreline(self) -> np.ndarray:
        """Points (N, 3) through cord and sac in RAS+ mm, upwards."""
        return self.segmentation.centreline.points_mm

    @property
    def record(self) -> Mapping[str, Any]:
        """What the JSON of ``spinalroots predict`` says of the scan."""
        return self.segmentation.record

    @property
    def warnings(self) -> list[dict]:
        """What looks implausible, see :func:`spinalroots.quality.plausibility.warnings`."""
        return self.segmentation.record["warnings"]

    def save(self, folder: str | Path, *, surfaces: bool = False) -> list[Path]:
        """Write what ``spinalroots predict`` writes into a folder, whose other files stay.

        :param surfaces: the 3D model too.
        :returns: the files.
        :raises InputError: a result of another scan, or a corrected mask, is in the way.
        """
        from spinalroots.report import figures

        record = {
            "scan": self.name,
            "grid": str(self.scan.native),
            "reading": list(self.scan.notes),
            **self.record,
        }
        digest = writing.voxels_sha256(self.scan)
        with files_together(Path(folder), of=f"predict {self.name} {digest}") as place:
            writing.write_result(
                place, self.name, self.scan, self.segmentation, record, figures.preview, surfaces
            )
        return [Path(folder) / entry["file"] for entry in record["outputs"]]


def _read(scan: Scan, orientation: str | None) -> tuple[str, Volume]:
    """What messages call a scan, and its volume in RAS+."""
    if isinstance(scan, str | Path):
        found = sources.find([Path(scan)])
        if len(found.scans) != 1:
            raise InputError(
                scan,
                expected="one scan",
                found=f"{len(found.scans)}: {', '.join(one.name for one in found.scans[:6])}",
                fix="Give them one by one.",
            )
        volume, _ = found.scans[0].read(orientation)
        return found.scans[0].stem, volume
    if isinstance(scan, tuple):
        data, affine = np.asarray(scan[0]), np.asarray(scan[1], float)
        require_volume(Path(MEMORY), data.shape)
        if affine.shape != (4, 4):
            raise InputError(
                MEMORY,
                expected="an affine of 4 × 4",
                found=f"one of {affine.shape}",
                fix="Give (voxels, voxel to RAS+ mm).",
            )
        return MEMORY, as_scan(MEMORY, data.reshape(data.shape[:3]), Place(affine))
    image = scan if isinstance(scan, SpatialImage) else _of_itk(scan)
    require_volume(Path(MEMORY), image.shape)
    place = place_of(Path(MEMORY), image, orientation)
    return MEMORY, as_scan(MEMORY, voxels_of(Path(MEMORY), image), place)


def _of_itk(scan: Any) -> nib.Nifti1Image:
    try:
        return of_itk(scan)
    except (AttributeError, TypeError, NotImplementedError, ValueError) as error:
        raise InputError(
            MEMORY,
            expected="a path, an image of nibabel or SimpleITK, or (voxels, affine)",
            found=f"a {type(scan).__name__}",
            fix="Give one of these.",
        ) from error
