"""A scan in, root masks on the scan's own grid out: what a person runs on one patient."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinalroots import __version__
from spinalroots.compute.device import choose_device
from spinalroots.dataset import label_tables
from spinalroots.errors import InputError
from spinalroots.files import files_together, write_json
from spinalroots.imaging.volume import Volume, read_image, write_probability, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.registry.anatomy import Scheme, label_names

if TYPE_CHECKING:
    from spinalroots.inference.predictor import Prediction

_SUFFIX = {
    Scheme.ENTITY: "label-roots_mask",
    Scheme.LEVELS: "label-levels_dseg",
    Scheme.INDIVIDUALS: "label-individuals_dseg",
}


def predict_file(
    scan_path: Path,
    out: Path,
    params: Params,
    *,
    model: str | None = None,
    models_root: Path,
    device: str = "auto",
) -> Path:
    """Segment one scan and write masks, label tables, maps, a JSON and a picture.

    Everything is computed first; then all files appear at once.

    :param model: a folder below `models_root`; None takes `predict.model` of the parameters.
    :param device: `auto`, `cpu` or `cuda`; a CPU runs the recommended export if there is one.
    :returns: the folder `out`.
    :raises InputError: the scan or the model cannot be used.
    """
    from spinalroots import postprocess
    from spinalroots.imaging import centreline_image
    from spinalroots.predict.load import load_predictor
    from spinalroots.quality import appearance, plausibility

    _require_writable(Path(out))
    scan = read_image(scan_path)
    _require_extent(scan_path, scan)
    name = model or params.predict.model
    device = choose_device(device, "--device")
    predictor = load_predictor(Path(models_root) / name, device)
    runner, export = _recommended(models_root, name) if device == "cpu" else (None, None)
    search = params.centreline
    centreline = centreline_image.find(
        scan,
        method=search.method,
        stiffness_mm=search.stiffness_mm,
        search_mm=search.search_mm,
    )
    prediction = predictor.predict(scan, centreline, runner)
    maps = postprocess.run(
        prediction.labels, predictor.target, centreline, **params.postprocess.model_dump()
    )
    warnings = plausibility.warnings(maps[Scheme.INDIVIDUALS], centreline, prediction.foreground)
    looks = appearance.measure(scan, centreline)
    training = Path(models_root) / appearance.FILE
    if training.is_file():
        compared = f"with the training scans of {training.name}"
        warnings += plausibility.unlike_training(looks, appearance.read(training))
    else:
        compared = f"not done: there is no {training}; `dvc repro appearance` makes it"

    stem = Path(scan_path).name.removesuffix(".gz").removesuffix(".nii")
    record = {
        "scan": Path(scan_path).name,
        "grid": str(scan.native),
        "model": name,
        "export": export or "PyTorch fp32",
        "spinalroots": __version__,
        "centreline": centreline.source,
        "voxels": _voxels(maps[Scheme.INDIVIDUALS]),
        "appearance": appearance.as_json(looks),
        "appearance_compared": compared,
        "warnings": warnings,
        "note": "A pre-annotation for an expert to correct, not a diagnosis.",
    }
    try:
        with files_together(out) as folder:
            _write(folder / stem, scan, maps, prediction)
            centreline.write(folder / f"{stem}_centreline.json")
            write_json(folder / f"{stem}_prediction.json", record)
            _preview(folder / f"{stem}_preview.png", scan, maps[Scheme.LEVELS], centreline)
    except OSError as error:
        raise InputError(
            out,
            expected="a folder with room for the results",
            found=f"an error while writing ({error.strerror or error})",
            fix="Free some space, or give another folder; nothing was kept.",
        ) from error
    return Path(out)


def _write(stem: Path, scan: Volume, maps: Mapping[Scheme, Volume], prediction: Prediction) -> None:
    """Masks with their label tables, root probability and uncertainty, on the scan's own grid."""
    for scheme, suffix in _SUFFIX.items():
        path = stem.with_name(f"{stem.name}_{suffix}")
        write_volume(path.with_name(f"{path.name}.nii.gz"), maps[scheme], native=scan.native)
        if scheme is not Scheme.ENTITY:
            label_tables.write_all(path, scheme)
    for suffix, values in (
        ("desc-foreground_probseg", prediction.foreground),
        ("desc-uncertainty_map", prediction.uncertainty),
    ):
        if values is not None:
            path = stem.with_name(f"{stem.name}_{suffix}.nii.gz")
            write_probability(path, values, native=scan.native)


def _require_writable(out: Path) -> None:
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(
            out,
            expected="a folder that can be written to",
            found=f"{place} is a file" if not place.is_dir() else f"{place} is read-only",
            fix="Give another folder.",
        )


def _require_extent(path: Path, scan: Volume, smallest_mm: float = 20.0) -> None:
    extent = scan.spacing_mm * np.array(scan.data.shape)
    if extent.min() < smallest_mm or float(scan.data.max()) <= float(scan.data.min()):
        raise InputError(
            path,
            expected=f"a scan of at least {smallest_mm:g} mm along every axis, with contrast",
            found=f"{extent[0]:.0f} × {extent[1]:.0f} × {extent[2]:.0f} mm, "
            f"values {scan.data.min():g} to {scan.data.max():g}",
            fix="Give a T2 scan that contains the spinal canal.",
        )


def _recommended(models_root: Path, name: str):
    """The runner of the export that quantization recommends, and its name; (None, None) without."""
    from spinalroots.exports import runtimes

    return runtimes.recommended_runner(Path(models_root), name)


def _voxels(individuals: Volume) -> dict[str, int]:
    values, counts = np.unique(individuals.data, return_counts=True)
    names = label_names(Scheme.INDIVIDUALS)
    return {
        names[int(value)]: int(count) for value, count in zip(values, counts, strict=True) if value
    }


def _preview(path: Path, scan: Volume, levels: Volume, centreline) -> None:
    from spinalroots.report import figures

    figures.save_preview(path, scan, levels, centreline)
